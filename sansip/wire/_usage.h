/* A SUBSCRIBE, a PUBLISH or a MESSAGE in brief: what usage.py reads by its patterns.
 *
 * Part of _head.c. The head is walked once, line by line. Each line has one kind of character, no field stands twice,
 * and each has the usual spelling; None for all else.
 */

enum { U_TEXT, U_VIA, U_FROM, U_TO, U_CALL_ID, U_CSEQ, U_HOPS, U_LENGTH, U_KINDS };
/* Which methods have a field. */
enum { EVENTS = 1, TEXTS = 2, BOTH = 3 };
#define USAGE_NAME(name, key, kind, of) {name, key, sizeof name - 1, kind, of}
static const struct { const char *name, *key; uint8_t length, kind, of; } usage_names[] = {
    USAGE_NAME("To", "to", U_TO, BOTH), USAGE_NAME("Via", "via", U_VIA, BOTH), USAGE_NAME("From", "from", U_FROM, BOTH),
    USAGE_NAME("CSeq", "cseq", U_CSEQ, BOTH), USAGE_NAME("Date", "date", U_TEXT, TEXTS),
    USAGE_NAME("Event", "event", U_TEXT, BOTH), USAGE_NAME("Allow", "allow", U_TEXT, BOTH),
    USAGE_NAME("Accept", "accept", U_TEXT, BOTH), USAGE_NAME("Call-ID", "call-id", U_CALL_ID, BOTH),
    USAGE_NAME("Contact", "contact", U_TEXT, BOTH), USAGE_NAME("Expires", "expires", U_TEXT, BOTH),
    USAGE_NAME("Subject", "subject", U_TEXT, TEXTS), USAGE_NAME("Priority", "priority", U_TEXT, TEXTS),
    USAGE_NAME("Reply-To", "reply-to", U_TEXT, TEXTS), USAGE_NAME("Supported", "supported", U_TEXT, BOTH),
    USAGE_NAME("User-Agent", "user-agent", U_TEXT, BOTH), USAGE_NAME("In-Reply-To", "in-reply-to", U_TEXT, TEXTS),
    USAGE_NAME("Max-Forwards", "max-forwards", U_HOPS, BOTH), USAGE_NAME("SIP-If-Match", "sip-if-match", U_TEXT, BOTH),
    USAGE_NAME("Content-Type", "content-type", U_TEXT, BOTH), USAGE_NAME("Allow-Events", "allow-events", U_TEXT, BOTH),
    USAGE_NAME("MIME-Version", "mime-version", U_TEXT, TEXTS), USAGE_NAME("Organization", "organization", U_TEXT, TEXTS),
    USAGE_NAME("Authorization", "authorization", U_TEXT, EVENTS),
    USAGE_NAME("Content-Length", "content-length", U_LENGTH, BOTH),
    USAGE_NAME("Content-Encoding", "content-encoding", U_TEXT, TEXTS),
    USAGE_NAME("Content-Language", "content-language", U_TEXT, TEXTS),
    USAGE_NAME("Content-Disposition", "content-disposition", U_TEXT, TEXTS),
    USAGE_NAME("Proxy-Authorization", "proxy-authorization", U_TEXT, TEXTS),
};
enum { USAGE_LONGEST = 19, USAGE_NAMES = sizeof usage_names / sizeof *usage_names };
static uint8_t usage_from[USAGE_LONGEST + 2];
static PyObject *usage_keys[USAGE_NAMES];

/* Return 0 on an error. */
static int fill_usages(void)
{
    uint8_t at = 0;
    for (uint8_t length = 0; length < USAGE_LONGEST + 2; length++) {
        while (at < USAGE_NAMES && usage_names[at].length < length) at++;
        usage_from[length] = at;
    }
    for (at = 0; at < USAGE_NAMES; at++) {
        usage_keys[at] = PyUnicode_InternFromString(usage_names[at].key);
        if (usage_keys[at] == NULL) return 0;
    }
    return 1;
}

/* Return the number of the field whose name is [at, colon), -1 for one that is not read. */
static int usage_name(const uint8_t *p, Py_ssize_t at, Py_ssize_t colon, int of)
{
    Py_ssize_t length = colon - at;
    if (length > USAGE_LONGEST) return -1;
    for (int one = usage_from[length]; one < usage_from[length + 1]; one++)
        if (!memcmp(p + at, usage_names[one].name, (size_t)length)) return usage_names[one].of & of ? one : -1;
    return -1;
}

/* Where the parts of a request stand; 0 is "not there". */
typedef struct {
    int32_t user, user_end, host, host_end, port, gr, uri_end;
    int32_t sent_host, sent_host_end, sent_port, rport, rport_behind, branch, branch_end;
    int32_t from_uri, from_uri_end, from[5], from_tag, from_tag_end;
    int32_t to_uri, to_uri_end, to[5], tag, tag_end;
    int32_t call_id, call_id_end, cseq, cseq_end;
} Parts;

/* Read the Request-Line behind the method and its space, at `at`; return the end of the line, -1: another form. */
static Py_ssize_t usage_start(const uint8_t *p, Py_ssize_t at, Parts *x)
{
    if (!STARTS(p + at, "sip:")) return -1;
    at += 4;
    Py_ssize_t end = run(p, at, USER);
    if (p[end] == '@') {
        if (end == at) return -1;
        for (Py_ssize_t one = at; one < end; one++)
            if (!IS(p[one], NAME) && p[one] != '-' && p[one] != '.' && p[one] != '+') return -1;
        x->user = (int32_t)at;
        x->user_end = (int32_t)end;
        at = end + 1;
    }
    x->host = (int32_t)at;
    at = host_end_of(p, at);
    if (at < 0) return -1;
    x->host_end = (int32_t)at;
    if (p[at] == ':') {
        at = port_end(p, at + 1, &x->port);
        if (at < 0) return -1;
    }
    if (STARTS(p + at, ";gr=")) {
        x->gr = (int32_t)at;
        Py_ssize_t begin = at += 4;
        while (IS(p[at], NAME) || p[at] == '-') at++;
        if (at == begin) return -1;
    }
    x->uri_end = (int32_t)at;
    return STARTS(p + at, " SIP/2.0\r\n") ? at + 8 : -1;
}

/* Read the value of Via, all of [at, end). */
static int usage_via(const uint8_t *p, Py_ssize_t at, Py_ssize_t end, Parts *x)
{
    if (!STARTS(p + at, "SIP/2.0/UDP ")) return 0;
    at += 12;
    x->sent_host = (int32_t)at;
    at = host_end_of(p, at);
    if (at < 0) return 0;
    x->sent_host_end = (int32_t)at;
    if (p[at] == ':') {
        at = port_end(p, at + 1, &x->sent_port);
        if (at < 0) return 0;
    }
    if (STARTS(p + at, ";rport;")) {
        x->rport = (int32_t)at;
        at += 6;
    }
    if (!STARTS(p + at, ";branch=z9hG4bK")) return 0;
    x->branch = (int32_t)(at + 8);
    at = run(p, at + 15, TOKEN);
    x->branch_end = (int32_t)at;
    if (x->branch_end == x->branch + 7) return 0;
    if (at == end) return 1;
    x->rport_behind = (int32_t)at;
    /* RFC 3261 7.3.1: a parameter that stands twice. */
    return !x->rport && end - at == 6 && STARTS(p + at, ";rport");
}

/* Read the value of From or To, all of [at, end). */
static int usage_party(const uint8_t *p, Py_ssize_t at, Py_ssize_t end, int32_t *uri, int32_t *uri_end, int32_t *parts,
                       int32_t *tag, int32_t *tag_end)
{
    return address(p, at, end, uri, uri_end, parts, tag, tag_end) && unseparated(p, parts[0], parts[1]);
}

/* Read the value of the field of `kind`, all of [at, end); return 0 where it has another form. */
static int usage_value(const uint8_t *p, int kind, Py_ssize_t at, Py_ssize_t end, Py_ssize_t method_end, Parts *x)
{
    int32_t ignored;
    Py_ssize_t stop;
    switch (kind) {
    case U_VIA:
        return usage_via(p, at, end, x);
    case U_FROM:
        return usage_party(p, at, end, &x->from_uri, &x->from_uri_end, x->from, &x->from_tag, &x->from_tag_end);
    case U_TO:
        return usage_party(p, at, end, &x->to_uri, &x->to_uri_end, x->to, &x->tag, &x->tag_end);
    case U_CALL_ID:
        stop = run(p, at, WORD);
        if (stop == at) return 0;
        if (p[stop] == '@') {
            Py_ssize_t behind = run(p, stop + 1, WORD);
            if (behind == stop + 1) return 0;
            stop = behind;
        }
        x->call_id = (int32_t)at;
        x->call_id_end = (int32_t)stop;
        return stop == end;
    case U_CSEQ:
        stop = number(p, at, 9, &ignored);
        if (stop < 0 || p[stop] != ' ' || end - stop - 1 != method_end || memcmp(p + stop + 1, p, (size_t)method_end))
            return 0;
        x->cseq = (int32_t)at;
        x->cseq_end = (int32_t)stop;
        return 1;
    case U_HOPS:
        /* RFC 3261 8.1.1.6 */
        stop = number(p, at, 2, &ignored);
        return stop == end && p[at] != '0';
    }
    return 1;
}

static inline PyObject *usage_port(const uint8_t *p, int32_t host_end, int32_t port)
{
    return port < 0 ? Py_NewRef(Py_None) : ascii(p, host_end + 1, run(p, host_end + 1, DIGIT));
}

static inline PyObject *usage_part(const uint8_t *p, int32_t begin, int32_t end)
{
    return begin ? ascii(p, begin, end) : Py_NewRef(Py_None);
}

static PyObject *head_usage(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "usage takes bytes");
        return NULL;
    }
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data), method_end = 0;
    if (size > INT32_MAX - 8) Py_RETURN_NONE;
    if (STARTS(p, "SUBSCRIBE ")) method_end = 9;
    else if (STARTS(p, "PUBLISH ") || STARTS(p, "MESSAGE ")) method_end = 7;
    else Py_RETURN_NONE;
    int of = p[0] == 'M' ? TEXTS : EVENTS;
    Parts x;
    memset(&x, 0, sizeof x);
    x.port = x.sent_port = x.from[4] = x.to[4] = -1;
    Py_ssize_t at = usage_start(p, method_end + 1, &x);
    if (at < 0) Py_RETURN_NONE;
    at += 2;
    int32_t begins[USAGE_NAMES], ends[USAGE_NAMES], order[USAGE_NAMES], fields = 0, commas = 0, length = -1;
    Py_ssize_t digits = 0;
    memset(begins, 0, sizeof begins);
    uint8_t octets = 0, kinds = 0;
    while (p[at] != '\r') {
        Py_ssize_t colon = run(p, at, TOKEN);
        int one = p[colon] == ':' ? usage_name(p, at, colon, of) : -1;
        /* RFC 3261 7.3.1: a field that stands twice is for the reader. */
        if (one < 0 || begins[one]) Py_RETURN_NONE;
        Py_ssize_t end = text_end(p, colon, size, &commas, &octets);
        if (p[end] != '\r' || p[end + 1] != '\n') Py_RETURN_NONE;
        int kind = usage_names[one].kind;
        if (kind != U_TEXT) {
            if (p[colon + 1] != ' ') Py_RETURN_NONE;
            kinds |= (uint8_t)(1 << kind);
            if (kind == U_LENGTH) {
                digits = colon + 2;
                if (number(p, digits, 9, &length) != end || (p[digits] == '0' && end - digits > 1)) Py_RETURN_NONE;
            } else if (!usage_value(p, kind, colon + 2, end, method_end, &x)) {
                Py_RETURN_NONE;
            }
        }
        begins[one] = (int32_t)at;
        ends[one] = (int32_t)end;
        order[fields++] = one;
        at = end + 2;
    }
    /* All kinds but the first have to be there. */
    if (p[at + 1] != '\n' || octets & 128 || kinds != (1 << U_KINDS) - 2 || length != size - at - 2) Py_RETURN_NONE;
    PyObject *lines = PyDict_New(), *copied = PyTuple_New(5), *via = NULL;
    if (lines == NULL || copied == NULL) goto failed;
    int place = 0;
    for (int32_t number = 0; number < fields; number++) {
        int one = order[number], kind = usage_names[one].kind;
        PyObject *line = ascii(p, begins[one], ends[one]);
        if (line == NULL || PyDict_SetItem(lines, usage_keys[one], line) < 0) {
            Py_XDECREF(line);
            goto failed;
        }
        if (kind == U_VIA) via = line;
        if (kind >= U_VIA && kind <= U_CSEQ)
            PyTuple_SET_ITEM(copied, place++, line);
        else
            Py_DECREF(line);
    }
    PyObject *items[24];
    int item = 0;
    items[item++] = ascii(p, 0, method_end);
    items[item++] = usage_part(p, x.user, x.user_end);
    items[item++] = ascii(p, x.host, x.host_end);
    items[item++] = usage_port(p, x.host_end, x.port);
    items[item++] = usage_part(p, x.gr, x.uri_end);
    items[item++] = Py_NewRef(via);
    items[item++] = ascii(p, x.sent_host, x.sent_host_end);
    items[item++] = usage_port(p, x.sent_host_end, x.sent_port);
    items[item++] = usage_part(p, x.rport, x.rport + 6);
    items[item++] = ascii(p, x.branch, x.branch_end);
    items[item++] = usage_part(p, x.rport_behind, x.rport_behind + 6);
    items[item++] = usage_part(p, x.tag, x.tag_end);
    items[item++] = usage_part(p, x.from[0], x.from[1]);
    items[item++] = ascii(p, x.from[2], x.from[3]);
    items[item++] = ascii(p, x.call_id, x.call_id_end);
    items[item++] = ascii(p, x.cseq, x.cseq_end);
    items[item++] = lines;
    items[item++] = copied;
    items[item++] = PyBytes_FromStringAndSize((const char *)p + at + 2, size - at - 2);
    items[item++] = PyLong_FromLong(fields + 1 + commas);
    items[item++] = PyLong_FromSsize_t(at - 2);
    return tuple_of(items, item);
failed:
    Py_XDECREF(lines);
    Py_XDECREF(copied);
    return NULL;
}
