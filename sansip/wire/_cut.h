/* Messages in brief as the C module reads them: the parts that are asked of each one, and a Cut, from which the others
 * are cut out when somebody asks, and what leaves.
 *
 * Part of _head.c. Each reading takes what its other one in _octets.h takes, and tests compare both: what a Cut gives
 * with what echo.py, passing.py and opening.py make of the parts.
 */

/* Texts that a Cut gives; see head.py. */
enum { CUT_FROM, CUT_TO, CUT_CALL_ID, CUT_CSEQ, CUT_BRANCH, CUT_METHOD, CUT_TAG, CUT_FROM_HOST, CUT_TOP, CUT_TEXTS };

typedef struct {
    PyObject_HEAD
    PyObject *came;
    /* Where each text begins and ends; the top Via ends behind its sent-by. */
    int32_t texts[CUT_TEXTS][2];
    /* Where begins and ends what is replaced: the Via, Route or Record-Route, the credentials, Max-Forwards. */
    int32_t via[2], route[2], proof[2], hops[2];
    int32_t left, lines, body;
} Cut;

static void cut_dealloc(PyObject *self)
{
    Py_DECREF(((Cut *)self)->came);
    PyObject_Free(self);
}

static PyMemberDef cut_members[] = {
    {"route", T_INT, offsetof(Cut, route), READONLY, NULL},
    {"proof", T_INT, offsetof(Cut, proof), READONLY, NULL},
    {"left", T_INT, offsetof(Cut, left), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* It holds octets alone, so it is in no circle. */
static PyTypeObject cut_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sansip.wire._head.Cut",
    .tp_basicsize = sizeof(Cut),
    .tp_dealloc = cut_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "The octets of a message, and where in them stands what may be asked for; see head.py.",
    .tp_members = cut_members,
};

static inline void put_place(int32_t *place, int32_t begin, int32_t end)
{
    place[0] = begin;
    place[1] = end;
}

/* Return the Cut of `data`, whose index is `x`, without what is replaced. */
static Cut *cut_of(PyObject *data, const Index *x)
{
    Cut *cut = PyObject_New(Cut, &cut_type);
    if (cut == NULL) return NULL;
    cut->came = Py_NewRef(data);
    put_place(cut->texts[CUT_FROM], x->from_line, x->from_line_end - 2);
    put_place(cut->texts[CUT_TO], x->to_line, x->to_line_end - 2);
    put_place(cut->texts[CUT_CALL_ID], x->call_id_line, x->call_id_line_end - 2);
    put_place(cut->texts[CUT_CSEQ], x->cseq_line, x->cseq_line_end - 2);
    put_place(cut->texts[CUT_BRANCH], x->branch, x->branch_end);
    put_place(cut->texts[CUT_METHOD], x->cseq_method, x->cseq_method_end);
    put_place(cut->texts[CUT_TAG], x->to_tag, x->to_tag_end);
    put_place(cut->texts[CUT_FROM_HOST], 0, 0);
    put_place(cut->texts[CUT_TOP], x->via_line, x->sent_by_end);
    put_place(cut->via, x->via_line, x->via_line_end - 2);
    put_place(cut->hops, x->hops_value, x->hops_value_end);
    put_place(cut->route, 0, 0);
    put_place(cut->proof, 0, 0);
    cut->left = x->hops - 1;
    cut->lines = x->lines;
    cut->body = x->body;
    return cut;
}

/* Two texts, joined by an octet. */
static PyObject *two_texts(const uint8_t *p, const int32_t *first, char between, const int32_t *second)
{
    Py_ssize_t size = first[1] - first[0], more = second[1] - second[0];
    PyObject *text = PyUnicode_New(size + 1 + more, 127);
    if (text == NULL) return NULL;
    uint8_t *out = PyUnicode_1BYTE_DATA(text);
    memcpy(out, p + first[0], (size_t)size);
    out[size] = (uint8_t)between;
    memcpy(out + size + 1, p + second[0], (size_t)more);
    return text;
}

static PyObject *not_octets(const char *name)
{
    return PyErr_Format(PyExc_TypeError, "%s takes bytes", name);
}

/* The parts of an Echo. */
static PyObject *cut_echo(PyObject *module, PyObject *data)
{
    Index x;
    const uint8_t *p;
    Spelling how;
    if (!PyBytes_CheckExact(data)) return not_octets("echo");
    if (!echo_read(data, &x, &how, &p)) Py_RETURN_NONE;
    const Line *lines = how.lines;
    Cut *cut = cut_of(data, &x);
    if (cut == NULL) return NULL;
    int is_joined = p[x.via_end] == ',';
    if (is_joined)
        put_place(cut->via, x.via, x.via_end + 2);
    else
        cut->via[1] += 2;
    put_place(cut->route, lines[RECORD_ROUTE].begin, lines[RECORD_ROUTE].end);
    PyObject *items[] = {
        PyLong_FromLong(x.status),
        two_texts(p, cut->texts[CUT_BRANCH], ' ', cut->texts[CUT_METHOD]),
        line_or_none(p, &lines[CONTACT]),
        line_or_none(p, &lines[RECORD_ROUTE]),
        PyBool_FromLong(is_joined || x.via_lines > 1),
        (PyObject *)cut,
        PyLong_FromLong(x.fields + 1 + x.commas),
        PyLong_FromLong(x.body),
    };
    return tuple_of(items, sizeof items / sizeof *items);
}

/* The host of the sender with its port, which is the host alone where there is none. */
static inline PyObject *sent_by_or(const uint8_t *p, const Index *x, PyObject *host)
{
    return x->sent_port < 0 ? Py_XNewRef(host) : sent_by_text(p, x, 0);
}

/* The parts of a Passing. */
static PyObject *cut_passing(PyObject *module, PyObject *data)
{
    Index x;
    const uint8_t *p;
    Spelling how;
    if (!PyBytes_CheckExact(data)) return not_octets("passing");
    if (!passing_read(data, &x, &how, &p)) Py_RETURN_NONE;
    const Line *lines = how.lines;
    Cut *cut = cut_of(data, &x);
    if (cut == NULL) return NULL;
    put_place(cut->route, lines[ROUTE].begin, lines[ROUTE].end);
    put_place(cut->proof, lines[PROXY_AUTHORIZATION].begin, lines[PROXY_AUTHORIZATION].end);
    PyObject *host = host_text(p, x.sent_by, x.sent_host_end);
    PyObject *items[] = {
        ascii(p, 0, x.method_end),
        ascii(p, x.uri, x.uri_end),
        ascii(p, x.host, x.host_end),
        port_number(x.port),
        ascii(p, x.via_line, x.via_line_end - 2),
        host,
        port_number(x.sent_port),
        PyBool_FromLong(x.rport != 0),
        sent_by_or(p, &x, host),
        sent_by_text(p, &x, 1),
        ascii(p, x.branch, x.branch_end),
        ascii(p, x.from_line, x.from_line_end - 2),
        ascii(p, x.from_tag, x.from_tag_end),
        ascii(p, x.to_line, x.to_line_end - 2),
        ascii(p, x.to_tag, x.to_tag_end),
        ascii(p, x.call_id_line, x.call_id_line_end - 2),
        ascii(p, x.call_id, x.call_id_end),
        ascii(p, x.cseq_line, x.cseq_line_end - 2),
        PyLong_FromLong(x.cseq),
        line_or_none(p, &lines[ROUTE]),
        line_or_none(p, &lines[PROXY_AUTHORIZATION]),
        (PyObject *)cut,
        PyLong_FromLong(x.fields + 1 + x.commas),
        PyLong_FromLong(x.body),
    };
    return tuple_of(items, sizeof items / sizeof *items);
}

/* The parts of an Opening. */
static PyObject *cut_opening(PyObject *module, PyObject *data)
{
    Index x;
    const uint8_t *p;
    Spelling how;
    int32_t from[5] = {0, 0, 0, 0, -1};
    if (!PyBytes_CheckExact(data)) return not_octets("opening");
    if (!opening_read(data, &x, &how, &p)) Py_RETURN_NONE;
    const Line *lines = how.lines;
    Cut *cut = cut_of(data, &x);
    if (cut == NULL) return NULL;
    /* The URI of From has been read without its parts. */
    sip_uri(p, x.from_uri, from, from + 1, from + 2, from + 3, from + 4);
    put_place(cut->texts[CUT_FROM_HOST], from[2], from[3]);
    put_place(cut->route, lines[ROUTE].begin, lines[ROUTE].end);
    put_place(cut->proof, lines[PROXY_AUTHORIZATION].begin, lines[PROXY_AUTHORIZATION].end);
    PyObject *host = host_text(p, x.sent_by, x.sent_host_end);
    PyObject *items[] = {
        ascii(p, x.uri, x.uri_end),
        ascii(p, x.user, x.user_end),
        host_text(p, x.host, x.host_end),
        port_number(x.port),
        ascii(p, x.via_line, x.via_line_end - 2),
        host,
        port_number(x.sent_port),
        PyBool_FromLong(x.rport != 0),
        sent_by_or(p, &x, host),
        sent_by_text(p, &x, 1),
        ascii(p, x.from_line, x.from_line_end - 2),
        ascii(p, x.from_tag, x.from_tag_end),
        ascii(p, x.to_line, x.to_line_end - 2),
        ascii(p, x.call_id_line, x.call_id_line_end - 2),
        ascii(p, x.call_id, x.call_id_end),
        ascii(p, x.cseq_line, x.cseq_line_end - 2),
        PyLong_FromLong(x.cseq),
        line_or_none(p, &lines[CONTACT]),
        line_or_none(p, &lines[ROUTE]),
        line_or_none(p, &lines[PROXY_AUTHORIZATION]),
        (PyObject *)cut,
        PyLong_FromLong(x.fields + 1 + x.commas),
        PyLong_FromLong(x.body),
    };
    return tuple_of(items, sizeof items / sizeof *items);
}

/* --- what is asked of a Cut */

/* Return the Cut that is the first of `wanted` arguments, NULL with an error where they are others. */
static const Cut *the_cut(PyObject *const *given, Py_ssize_t count, Py_ssize_t wanted)
{
    if (count == wanted && Py_IS_TYPE(given[0], &cut_type)) return (const Cut *)given[0];
    PyErr_Format(PyExc_TypeError, "a Cut is asked with %zd arguments, itself included", wanted);
    return NULL;
}

static inline const uint8_t *octets_of(const Cut *cut)
{
    return (const uint8_t *)PyBytes_AS_STRING(cut->came);
}

/* cut_text(cut, which): see _head.pyi. */
static PyObject *cut_text(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    const Cut *cut = the_cut(given, count, 2);
    if (cut == NULL) return NULL;
    long which = PyLong_AsLong(given[1]);
    if (which == -1 && PyErr_Occurred()) return NULL;
    if (which < 0 || which >= CUT_TEXTS) {
        PyErr_SetString(PyExc_ValueError, "a Cut has no such text");
        return NULL;
    }
    const uint8_t *p = octets_of(cut);
    const int32_t *place = cut->texts[which], *branch = cut->texts[CUT_BRANCH];
    if (which == CUT_FROM_HOST && place[0]) return host_text(p, place[0], place[1]);
    if (which != CUT_TOP) return text_or_none(p, place[0], place[1]);
    /* As we wrote it: without what its receiver has noted. */
    Py_ssize_t before = place[1] - place[0], size = branch[1] - branch[0];
    PyObject *line = PyUnicode_New(before + 8 + size, 127);
    if (line == NULL) return NULL;
    uint8_t *out = PyUnicode_1BYTE_DATA(line);
    memcpy(out, p + place[0], (size_t)before);
    memcpy(out + before, ";branch=", 8);
    memcpy(out + before + 8, p + branch[0], (size_t)size);
    return line;
}

/* Whether `text` is what stands at `place`. */
static inline int stands(const uint8_t *p, const int32_t *place, PyObject *text)
{
    Py_ssize_t size = place[1] - place[0];
    return place[0] && PyUnicode_Check(text) && PyUnicode_IS_COMPACT_ASCII(text) && PyUnicode_GET_LENGTH(text) == size
        && !memcmp(PyUnicode_1BYTE_DATA(text), p + place[0], (size_t)size);
}

/* cut_repeats(cut, via, from_, to, call_id, cseq, tag): see _head.pyi. */
static PyObject *cut_repeats(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    const Cut *cut = the_cut(given, count, 7);
    if (cut == NULL) return NULL;
    const uint8_t *p = octets_of(cut);
    PyObject *via = given[1], *to = given[3], *tag = given[6];
    const int32_t *top = cut->texts[CUT_TOP], *branch = cut->texts[CUT_BRANCH], *line = cut->texts[CUT_TO],
                  *own = cut->texts[CUT_TAG];
    size_t before = (size_t)(top[1] - top[0]), size = (size_t)(branch[1] - branch[0]);
    if (!PyUnicode_Check(via) || !PyUnicode_IS_COMPACT_ASCII(via)
        || (size_t)PyUnicode_GET_LENGTH(via) != before + 8 + size)
        Py_RETURN_FALSE;
    const uint8_t *wanted = PyUnicode_1BYTE_DATA(via);
    if (memcmp(wanted, p + top[0], before) || memcmp(wanted + before, ";branch=", 8)
        || memcmp(wanted + before + 8, p + branch[0], size) || !stands(p, cut->texts[CUT_FROM], given[2])
        || !stands(p, cut->texts[CUT_CALL_ID], given[4]) || !stands(p, cut->texts[CUT_CSEQ], given[5]))
        Py_RETURN_FALSE;
    if (stands(p, line, to)) return Py_NewRef(tag);
    if (tag != Py_None || !own[0] || !PyUnicode_Check(to) || !PyUnicode_IS_COMPACT_ASCII(to)) Py_RETURN_FALSE;
    /* The same, and a tag behind it. */
    Py_ssize_t known = PyUnicode_GET_LENGTH(to);
    if (line[0] + known + 5 != own[0] || own[1] != line[1]
        || memcmp(p + line[0], PyUnicode_1BYTE_DATA(to), (size_t)known) || memcmp(p + line[0] + known, ";tag=", 5))
        Py_RETURN_FALSE;
    return ascii(p, own[0], own[1]);
}

/* Put the edit of `place` among the others; `text` is NULL where the octets there go. Return 0 on an error. */
static inline int cut_edit(Edit *edits, Py_ssize_t *number, char (*digits)[DIGITS], const int32_t *place, PyObject *text)
{
    Edit edit = {place[0], place[1], 0, ""};
    if (text != NULL && !take_edit(text, &edit, digits[*number])) return 0;
    put_edit(edits, (*number)++, edit);
    return 1;
}

/* The same for octets of our own. */
static inline void cut_put(Edit *edits, Py_ssize_t *number, int32_t at, const char *text)
{
    Edit edit = {at, at, (Py_ssize_t)strlen(text), text};
    put_edit(edits, (*number)++, edit);
}

/* cut_returned(cut, recorded): see _head.pyi. */
static PyObject *cut_returned(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    const Cut *cut = the_cut(given, count, 2);
    if (cut == NULL) return NULL;
    Edit edits[MOST_EDITS];
    char digits[MOST_EDITS][DIGITS];
    Py_ssize_t number = 0;
    if (!cut_edit(edits, &number, digits, cut->via, NULL)
        || (given[1] != Py_None && !cut_edit(edits, &number, digits, cut->route, given[1])))
        return NULL;
    return edited(cut->came, edits, number);
}

/* What both kinds of requests change: Via, Route, credentials where they are `proven`, Max-Forwards, Max-Breadth. */
static int cut_changes(const Cut *cut, PyObject *noted, PyObject *breadth, PyObject *proven, Edit *edits,
                       Py_ssize_t *number, char (*digits)[DIGITS])
{
    int32_t last[2] = {cut->body - 2, cut->body - 2}, line[2];
    int proved = PyObject_IsTrue(proven);
    if (proved < 0 || !cut_edit(edits, number, digits, cut->via, noted)) return 0;
    if (cut->route[0]) {
        put_place(line, cut->route[0], cut->route[1] + 2);
        cut_edit(edits, number, digits, line, NULL);
    }
    if (proved && cut->proof[0]) {
        put_place(line, cut->proof[0], cut->proof[1] + 2);
        cut_edit(edits, number, digits, line, NULL);
    }
    Edit hops = {cut->hops[0], cut->hops[1], 0, NULL};
    hops.text = digits_before(digits[*number] + DIGITS, (unsigned long)cut->left);
    hops.size = digits[*number] + DIGITS - hops.text;
    put_edit(edits, (*number)++, hops);
    cut_put(edits, number, last[0], "Max-Breadth: ");
    if (!cut_edit(edits, number, digits, last, breadth)) return 0;
    cut_put(edits, number, last[0], "\r\n");
    return 1;
}

/* cut_passed(cut, ours, noted, breadth, proven): see _head.pyi. */
static PyObject *cut_passed(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    const Cut *cut = the_cut(given, count, 5);
    if (cut == NULL) return NULL;
    Edit edits[MOST_EDITS];
    char digits[MOST_EDITS][DIGITS];
    Py_ssize_t number = 0;
    int32_t at[2] = {cut->via[0], cut->via[0]};
    if (!cut_edit(edits, &number, digits, at, given[1])) return NULL;
    cut_put(edits, &number, at[0], "\r\n");
    if (!cut_changes(cut, given[2], given[3], given[4], edits, &number, digits)) return NULL;
    return edited(cut->came, edits, number);
}

/* cut_opened(cut, uri, ours, noted, breadth, proven): see _head.pyi. */
static PyObject *cut_opened(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    const Cut *cut = the_cut(given, count, 6);
    if (cut == NULL) return NULL;
    Edit edits[MOST_EDITS];
    char digits[MOST_EDITS][DIGITS];
    Py_ssize_t number = 0;
    /* The Request-URI stands behind "INVITE ". */
    int32_t uri[2] = {7, cut->lines}, at[2] = {cut->lines, cut->lines};
    if (!cut_edit(edits, &number, digits, uri, given[1])) return NULL;
    cut_put(edits, &number, at[0], " SIP/2.0\r\n");
    if (!cut_edit(edits, &number, digits, at, given[2])
        || !cut_changes(cut, given[3], given[4], given[5], edits, &number, digits))
        return NULL;
    return edited(cut->came, edits, number);
}

/* cut_answered(cut, start, noted, to, rest): see _head.pyi. */
static PyObject *cut_answered(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    const Cut *cut = the_cut(given, count, 5);
    if (cut == NULL) return NULL;
    Edit texts[4];
    char digits[DIGITS];
    for (int one = 0; one < 4; one++)
        if (!take_edit(given[one + 1], &texts[one], digits)) return NULL;
    /* The lines that an answer copies, in the order of the request; Via and To as they are given. */
    static const uint8_t copied[] = {CUT_TOP, CUT_FROM, CUT_TO, CUT_CALL_ID, CUT_CSEQ};
    Edit lines[sizeof copied];
    Py_ssize_t number = 0, length = texts[0].size + 2 + texts[3].size;
    for (size_t one = 0; one < sizeof copied; one++) {
        const int32_t *place = cut->texts[copied[one]];
        Edit line = {place[0], place[1], place[1] - place[0], (const char *)octets_of(cut) + place[0]};
        if (copied[one] == CUT_TOP || copied[one] == CUT_TO) {
            const Edit *text = &texts[copied[one] == CUT_TOP ? 1 : 2];
            line.text = text->text;
            line.size = text->size;
        }
        put_edit(lines, number++, line);
        length += line.size + 2;
    }
    PyObject *answer = PyBytes_FromStringAndSize(NULL, length);
    if (answer == NULL) return NULL;
    char *out = PyBytes_AS_STRING(answer);
    memcpy(out, texts[0].text, (size_t)texts[0].size);
    out += texts[0].size;
    for (Py_ssize_t one = 0; one < number; one++) {
        memcpy(out, "\r\n", 2);
        memcpy(out + 2, lines[one].text, (size_t)lines[one].size);
        out += 2 + lines[one].size;
    }
    memcpy(out, "\r\n", 2);
    memcpy(out + 2, texts[3].text, (size_t)texts[3].size);
    return answer;
}
