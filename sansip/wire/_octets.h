/* What the ways of octets read: a plain response, a plain request of a dialog, a plain INVITE,
 * an ACK that ends here.
 *
 * Part of _head.c. Each function reads a head that scan() accepts, in which each field that is read has its usual
 * spelling, and returns the parts that echo.py, passing.py, opening.py and ending.py read by a pattern; None for all
 * else, which is read in full. A head with octets above 127 is for the pattern, so a text and its octets have the same
 * offsets.
 *
 * What both read they read alike, but each reads a few heads that the other leaves to the reader. These functions
 * alone take ",", ";" and "?" in the user of From and To, and several blanks before a quoted name; ending() takes such
 * users in its Request-URI as well, and Max-Forwards in any spelling, which nobody looks at there. The pattern alone
 * takes a Timestamp in a request of a dialog: it is copied to a 100 (RFC 3261 8.2.6.1), and the one to a BYE is made
 * of the whole message.
 */

/* Those that are read of each message. */
#define COMMON (BIT(VIA) | BIT(FROM) | BIT(TO) | BIT(CALL_ID) | BIT(CSEQ) | BIT(CONTENT_LENGTH))
/* Those by which others would decide. */
#define DECIDING (BIT(AUTHORIZATION) | BIT(TIMESTAMP))

/* Whether Call-ID and CSeq begin behind one space, and the method of CSeq, in capitals, behind one more. */
static int plain_ids(const uint8_t *p, const Index *x)
{
    if (x->call_id != x->call_id_line + 9) return 0;
    Py_ssize_t digits = run(p, x->cseq_line + 6, DIGIT);
    if (digits == x->cseq_line + 6 || digits + 1 != x->cseq_method || p[digits] != ' ') return 0;
    if (x->cseq_method_end - x->cseq_method > 20) return 0;
    for (Py_ssize_t at = x->cseq_method; at < x->cseq_method_end; at++)
        if (p[at] < 'A' || p[at] > 'Z') return 0;
    return 1;
}

/* Whether the only Via of a request is alone on its line, with a branch of RFC 3261 and the flag rport at most. */
static int plain_via(const uint8_t *p, const Index *x)
{
    int32_t branch = x->branch_end - x->branch;
    return x->via_lines == 1 && x->via == x->via_line + 5 && p[x->via_end] == '\r' && branch >= 8
        && STARTS(p + x->branch, "z9hG4bK") && x->via_end - x->sent_by_end == 8 + branch + (x->rport ? 6 : 0);
}

/* Whether Max-Forwards is one or two digits behind one space, the first of them no zero. */
static int plain_hops(const uint8_t *p, const Index *x, const Line *line)
{
    return line->count == 1 && x->hops_value == line->begin + 14 && x->hops_value_end - x->hops_value <= 2
        && p[x->hops_value] != '0';
}

/* Whether [at, end) has none of the octets that separate values and parameters. */
static int unseparated(const uint8_t *p, Py_ssize_t at, Py_ssize_t end)
{
    for (; at < end; at++)
        if (p[at] == ',' || p[at] == ';' || p[at] == '?') return 0;
    return 1;
}

static inline PyObject *line_or_none(const uint8_t *p, const Line *line)
{
    return line->count ? ascii(p, line->begin, line->end) : Py_NewRef(Py_None);
}

/* Scan `data`; return 0 where it is in another form, or has no length. */
static int begun(PyObject *data, Index *x, Spelling *how, const uint8_t **p)
{
    *p = (const uint8_t *)PyBytes_AS_STRING(data);
    memset(x, 0, sizeof *x);
    return scan(*p, PyBytes_GET_SIZE(data), x, how) && x->length_line;
}

/* Octets of a Via value among others: what is quoted, or in brackets, may hold a comma. */
static uint8_t joins[256];

static void fill_joins(void)
{
    for (int c = 1; c < 256; c++) joins[c] = IS(c, TEXT) && !IS(c, BLANK) && !strchr(",\"<>()", c);
}

/* Return where the values behind the first of a Via line end, its CR, -1 where they are written another way than with
 * ", " between them. They begin at `at`. */
static Py_ssize_t joined(const uint8_t *p, Py_ssize_t at)
{
    for (;;) {
        if (!STARTS(p + at, "SIP/2.0/")) return -1;
        Py_ssize_t begin = at += 8;
        while (p[at] >= 'A' && p[at] <= 'Z') at++;
        if (at == begin || p[at] != ' ') return -1;
        begin = ++at;
        while (joins[p[at]]) at++;
        if (at == begin) return -1;
        if (p[at] == '\r') return at;
        if (p[at] != ',' || p[at + 1] != ' ') return -1;
        at += 2;
    }
}

/* The line of the top Via as we wrote it: without what its receiver has noted. */
static PyObject *own_via(const uint8_t *p, const Index *x)
{
    if (x->via_end - x->sent_by_end == 8 + x->branch_end - x->branch) return ascii(p, x->via_line, x->via_end);
    Py_ssize_t before = x->sent_by_end - x->via_line, size = x->branch_end - x->branch;
    PyObject *line = PyUnicode_New(before + 8 + size, 127);
    if (line == NULL) return NULL;
    uint8_t *out = PyUnicode_1BYTE_DATA(line);
    memcpy(out, p + x->via_line, (size_t)before);
    memcpy(out + before, ";branch=", 8);
    memcpy(out + before + 8, p + x->branch, (size_t)size);
    return line;
}

/* The sent-by of the top Via as it is compared, behind its branch and a space where it is the key of a transaction. */
static PyObject *sent_by_text(const uint8_t *p, const Index *x, int is_key)
{
    char digits[8], *first = digits + 8;
    if (x->sent_port >= 0) {
        first = digits_before(first, (unsigned long)x->sent_port);
        *--first = ':';
    }
    Py_ssize_t colon = digits + 8 - first;
    Py_ssize_t branch = is_key ? x->branch_end - x->branch + 1 : 0, host = x->sent_host_end - x->sent_by;
    PyObject *text = PyUnicode_New(branch + host + colon, 127);
    if (text == NULL) return NULL;
    uint8_t *out = PyUnicode_1BYTE_DATA(text);
    if (is_key) {
        memcpy(out, p + x->branch, (size_t)branch - 1);
        out[branch - 1] = ' ';
    }
    for (Py_ssize_t at = 0; at < host; at++) {
        uint8_t octet = p[x->sent_by + at];
        out[branch + at] = octet >= 'A' && octet <= 'Z' ? octet | 32 : octet;
    }
    memcpy(out + branch + host, first, (size_t)colon);
    return text;
}

/* Read `data`, a plain response; return 0 where it is none. */
static int echo_read(PyObject *data, Index *x, Spelling *how, const uint8_t **bytes)
{
    const Spelling begin = {COMMON | BIT(CONTACT) | BIT(RECORD_ROUTE), BIT(MAX_FORWARDS), {{0, 0, 0}}};
    *how = begin;
    const Line *lines = how->lines;
    if (!begun(data, x, how, bytes)) return 0;
    const uint8_t *p = *bytes;
    return x->status && lines[CONTACT].count <= 1 && lines[RECORD_ROUTE].count <= 1 && plain_ids(p, x)
        && x->via == x->via_line + 5 && !x->rport
        && (p[x->via_end] == '\r'
            || (p[x->via_end] == ',' && p[x->via_end + 1] == ' ' && joined(p, x->via_end + 2) >= 0));
}

static PyObject *head_echo(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "echo takes bytes");
        return NULL;
    }
    Index x;
    const uint8_t *p;
    Spelling how;
    if (!echo_read(data, &x, &how, &p)) Py_RETURN_NONE;
    const Line *lines = how.lines;
    int is_joined = p[x.via_end] == ',';
    PyObject *items[18];
    int at = 0;
    items[at++] = PyLong_FromLong(x.status);
    items[at++] = ascii(p, x.branch, x.branch_end);
    items[at++] = ascii(p, x.cseq_method, x.cseq_method_end);
    items[at++] = own_via(p, &x);
    items[at++] = ascii(p, x.from_line, x.from_line_end - 2);
    items[at++] = ascii(p, x.to_line, x.to_line_end - 2);
    items[at++] = x.to_tag ? ascii(p, x.to_tag, x.to_tag_end) : Py_NewRef(Py_None);
    items[at++] = ascii(p, x.call_id_line, x.call_id_line_end - 2);
    items[at++] = ascii(p, x.cseq_line, x.cseq_line_end - 2);
    items[at++] = line_or_none(p, &lines[CONTACT]);
    items[at++] = line_or_none(p, &lines[RECORD_ROUTE]);
    items[at++] = PyLong_FromLong(is_joined ? x.via : x.via_line);
    items[at++] = PyLong_FromLong(is_joined ? x.via_end + 2 : x.via_line_end);
    items[at++] = PyLong_FromLong(lines[RECORD_ROUTE].begin);
    items[at++] = PyLong_FromLong(lines[RECORD_ROUTE].end);
    items[at++] = PyBool_FromLong(is_joined || x.via_lines > 1);
    items[at++] = PyLong_FromLong(x.fields + 1 + x.commas);
    items[at++] = PyLong_FromLong(x.body);
    return tuple_of(items, at);
}

/* Read `data`, a plain request of a dialog; return 0 where it is none. */
static int passing_read(PyObject *data, Index *x, Spelling *how, const uint8_t **bytes)
{
    const Spelling begin = {COMMON | BIT(MAX_FORWARDS) | BIT(ROUTE) | BIT(PROXY_AUTHORIZATION),
                            DECIDING | BIT(PROXY_REQUIRE) | BIT(MAX_BREADTH), {{0, 0, 0}}};
    *how = begin;
    const Line *lines = how->lines;
    if (!begun(data, x, how, bytes)) return 0;
    const uint8_t *p = *bytes;
    return !x->status && lines[PROXY_AUTHORIZATION].count <= 1 && plain_ids(p, x) && plain_via(p, x)
        && plain_hops(p, x, &lines[MAX_FORWARDS]) && lines[ROUTE].count == 1 && x->from_tag && x->to_tag
        && is_ipv4(p, x->host, x->host_end) && unseparated(p, x->user, x->user_end);
}

static PyObject *head_passing(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "passing takes bytes");
        return NULL;
    }
    Index x;
    const uint8_t *p;
    Spelling how;
    if (!passing_read(data, &x, &how, &p)) Py_RETURN_NONE;
    const Line *lines = how.lines;
    PyObject *items[32];
    int at = 0;
    items[at++] = ascii(p, 0, x.method_end);
    items[at++] = ascii(p, x.uri, x.uri_end);
    items[at++] = ascii(p, x.host, x.host_end);
    items[at++] = port_number(x.port);
    items[at++] = ascii(p, x.via_line, x.via_line_end - 2);
    items[at++] = host_text(p, x.sent_by, x.sent_host_end);
    items[at++] = port_number(x.sent_port);
    items[at++] = PyBool_FromLong(x.rport != 0);
    items[at++] = sent_by_text(p, &x, 0);
    items[at++] = sent_by_text(p, &x, 1);
    items[at++] = ascii(p, x.branch, x.branch_end);
    items[at++] = ascii(p, x.from_line, x.from_line_end - 2);
    items[at++] = ascii(p, x.from_tag, x.from_tag_end);
    items[at++] = ascii(p, x.to_line, x.to_line_end - 2);
    items[at++] = ascii(p, x.to_tag, x.to_tag_end);
    items[at++] = ascii(p, x.call_id_line, x.call_id_line_end - 2);
    items[at++] = ascii(p, x.call_id, x.call_id_end);
    items[at++] = ascii(p, x.cseq_line, x.cseq_line_end - 2);
    items[at++] = PyLong_FromLong(x.cseq);
    items[at++] = PyLong_FromLong(x.hops);
    items[at++] = line_or_none(p, &lines[ROUTE]);
    items[at++] = line_or_none(p, &lines[PROXY_AUTHORIZATION]);
    items[at++] = PyLong_FromLong(x.via_line);
    items[at++] = PyLong_FromLong(x.via_line_end - 2);
    items[at++] = PyLong_FromLong(lines[ROUTE].begin);
    items[at++] = PyLong_FromLong(lines[ROUTE].end);
    items[at++] = PyLong_FromLong(lines[PROXY_AUTHORIZATION].begin);
    items[at++] = PyLong_FromLong(lines[PROXY_AUTHORIZATION].end);
    items[at++] = PyLong_FromLong(x.hops_value);
    items[at++] = PyLong_FromLong(x.hops_value_end);
    items[at++] = PyLong_FromLong(x.fields + 1 + x.commas);
    items[at++] = PyLong_FromLong(x.body);
    return tuple_of(items, at);
}

/* Read `data`, a plain INVITE; return 0 where it is none. */
static int opening_read(PyObject *data, Index *x, Spelling *how, const uint8_t **bytes)
{
    const Spelling begin = {COMMON | BIT(MAX_FORWARDS) | BIT(CONTACT) | BIT(ROUTE) | BIT(PROXY_AUTHORIZATION),
                            DECIDING | BIT(RECORD_ROUTE) | BIT(PROXY_REQUIRE) | BIT(MAX_BREADTH), {{0, 0, 0}}};
    *how = begin;
    const Line *lines = how->lines;
    int32_t uri = 0, uri_end = 0, tag = 0, tag_end = 0, contact[5] = {0, 0, 0, 0, -1};
    if (!begun(data, x, how, bytes)) return 0;
    const uint8_t *p = *bytes;
    if (x->method_end != 6 || !STARTS(p, "INVITE ") || !plain_ids(p, x) || !plain_via(p, x)
        || !plain_hops(p, x, &lines[MAX_FORWARDS]) || lines[CONTACT].count != 1 || lines[ROUTE].count > 1
        || lines[PROXY_AUTHORIZATION].count > 1 || !x->from_tag || x->to_tag || !x->user)
        return 0;
    for (Py_ssize_t at = x->user; at < x->user_end; at++)
        if (!IS(p[at], NAME) && p[at] != '-' && p[at] != '.' && p[at] != '+') return 0;
    Py_ssize_t value = run(p, lines[CONTACT].begin + 8, BLANK);
    return address(p, value, lines[CONTACT].end, &uri, &uri_end, contact, &tag, &tag_end) && !tag
        && unseparated(p, contact[0], contact[1]);
}

static PyObject *head_opening(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "opening takes bytes");
        return NULL;
    }
    Index x;
    const uint8_t *p;
    Spelling how;
    if (!opening_read(data, &x, &how, &p)) Py_RETURN_NONE;
    const Line *lines = how.lines;
    int32_t from[5] = {0, 0, 0, 0, -1};
    /* The URI of From has been read without its parts. */
    sip_uri(p, x.from_uri, from, from + 1, from + 2, from + 3, from + 4);
    PyObject *items[38];
    int at = 0;
    items[at++] = ascii(p, x.uri, x.uri_end);
    items[at++] = ascii(p, x.user, x.user_end);
    items[at++] = host_text(p, x.host, x.host_end);
    items[at++] = port_number(x.port);
    items[at++] = ascii(p, x.via_line, x.via_line_end - 2);
    items[at++] = host_text(p, x.sent_by, x.sent_host_end);
    items[at++] = port_number(x.sent_port);
    items[at++] = PyBool_FromLong(x.rport != 0);
    items[at++] = sent_by_text(p, &x, 0);
    items[at++] = sent_by_text(p, &x, 1);
    items[at++] = ascii(p, x.branch, x.branch_end);
    items[at++] = ascii(p, x.from_line, x.from_line_end - 2);
    items[at++] = host_text(p, from[2], from[3]);
    items[at++] = ascii(p, x.from_tag, x.from_tag_end);
    items[at++] = ascii(p, x.to_line, x.to_line_end - 2);
    items[at++] = ascii(p, x.call_id_line, x.call_id_line_end - 2);
    items[at++] = ascii(p, x.call_id, x.call_id_end);
    items[at++] = ascii(p, x.cseq_line, x.cseq_line_end - 2);
    items[at++] = PyLong_FromLong(x.cseq);
    items[at++] = PyLong_FromLong(x.hops);
    items[at++] = line_or_none(p, &lines[CONTACT]);
    items[at++] = line_or_none(p, &lines[ROUTE]);
    items[at++] = line_or_none(p, &lines[PROXY_AUTHORIZATION]);
    items[at++] = PyLong_FromLong(x.lines);
    items[at++] = PyLong_FromLong(x.via_line);
    items[at++] = PyLong_FromLong(x.via_line_end - 2);
    items[at++] = PyLong_FromLong(x.hops_value);
    items[at++] = PyLong_FromLong(x.hops_value_end);
    items[at++] = PyLong_FromLong(lines[ROUTE].begin);
    items[at++] = PyLong_FromLong(lines[ROUTE].end);
    items[at++] = PyLong_FromLong(lines[PROXY_AUTHORIZATION].begin);
    items[at++] = PyLong_FromLong(lines[PROXY_AUTHORIZATION].end);
    items[at++] = PyLong_FromLong(x.from_line);
    items[at++] = PyLong_FromLong(x.to_line);
    items[at++] = PyLong_FromLong(x.call_id_line);
    items[at++] = PyLong_FromLong(x.cseq_line);
    items[at++] = PyLong_FromLong(x.fields + 1 + x.commas);
    items[at++] = PyLong_FromLong(x.body);
    return tuple_of(items, at);
}

static PyObject *head_ending(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "ending takes bytes");
        return NULL;
    }
    Index x;
    const uint8_t *p;
    Spelling how = {COMMON, 0, {{0, 0, 0}}};
    if (!begun(data, &x, &how, &p) || x.method_end != 3 || !STARTS(p, "ACK ")
        || !plain_ids(p, &x) || !plain_via(p, &x) || !x.from_tag || !x.to_tag)
        Py_RETURN_NONE;
    PyObject *items[7];
    int at = 0;
    items[at++] = host_text(p, x.sent_by, x.sent_host_end);
    items[at++] = port_number(x.sent_port);
    items[at++] = ascii(p, x.branch, x.branch_end);
    items[at++] = ascii(p, x.to_tag, x.to_tag_end);
    items[at++] = ascii(p, x.call_id, x.call_id_end);
    items[at++] = PyLong_FromLong(x.fields + 1 + x.commas);
    items[at++] = PyLong_FromLong(x.body);
    return tuple_of(items, at);
}
