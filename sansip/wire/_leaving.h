/* What the ways of octets write: see splice.py and text_hash of loop.py in sansip/proxy.
 *
 * Part of _head.c. Its functions do what a twin in Python does, which tests compare them with.
 */

/* The most replacements at a time, and the digits of a number that is put in. */
enum { MOST_EDITS = 14, DIGITS = 20 };

typedef struct {
    Py_ssize_t begin, end, size;
    const char *text;
} Edit;

/* Fill what `edit` puts in: `text`, or a number by its `digits`; return 0 on an error. */
static int take_edit(PyObject *text, Edit *edit, char *digits)
{
    if (PyUnicode_Check(text) && PyUnicode_IS_COMPACT_ASCII(text)) {
        edit->text = (const char *)PyUnicode_1BYTE_DATA(text);
        edit->size = PyUnicode_GET_LENGTH(text);
    } else if (PyUnicode_Check(text)) {
        edit->text = PyUnicode_AsUTF8AndSize(text, &edit->size);
        if (edit->text == NULL) return 0;
    } else if (PyLong_Check(text)) {
        unsigned long value = PyLong_AsUnsignedLong(text);
        if (PyErr_Occurred()) return 0;
        edit->text = digits_before(digits + DIGITS, value);
        edit->size = digits + DIGITS - edit->text;
    } else {
        PyErr_SetString(PyExc_TypeError, "what is put in is a text, or a number");
        return 0;
    }
    return 1;
}

/* Put `edit` among the `number` that are there, in the order of the octets. */
static inline void put_edit(Edit *edits, Py_ssize_t number, Edit edit)
{
    Py_ssize_t place = number;
    for (; place; place--) {
        const Edit *before = &edits[place - 1];
        if (before->begin < edit.begin || (before->begin == edit.begin && before->end <= edit.end)) break;
        edits[place] = *before;
    }
    edits[place] = edit;
}

/* Return the octets of `came` with these edits, which are in order. */
static PyObject *edited(PyObject *given, const Edit *edits, Py_ssize_t number)
{
    Py_ssize_t size = PyBytes_GET_SIZE(given), length = size, at = 0;
    for (Py_ssize_t one = 0; one < number; one++) {
        if (edits[one].begin < at || edits[one].end < edits[one].begin || edits[one].end > size) {
            PyErr_SetString(PyExc_ValueError, "an edit stands in another one, or outside");
            return NULL;
        }
        at = edits[one].end;
        length += edits[one].size - (edits[one].end - edits[one].begin);
    }
    PyObject *spliced = PyBytes_FromStringAndSize(NULL, length);
    if (spliced == NULL) return NULL;
    const char *came = PyBytes_AS_STRING(given);
    char *out = PyBytes_AS_STRING(spliced);
    at = 0;
    for (Py_ssize_t one = 0; one < number; one++) {
        memcpy(out, came + at, (size_t)(edits[one].begin - at));
        out += edits[one].begin - at;
        memcpy(out, edits[one].text, (size_t)edits[one].size);
        out += edits[one].size;
        at = edits[one].end;
    }
    memcpy(out, came + at, (size_t)(size - at));
    return spliced;
}

/* spliced(came, begin, end, text, ...): see _head.pyi. */
static PyObject *leaving_spliced(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    if (count % 3 != 1 || count > 1 + 3 * MOST_EDITS || !PyBytes_CheckExact(given[0])) {
        PyErr_SetString(PyExc_TypeError, "spliced takes bytes, and of each of up to 14 edits begin, end and text");
        return NULL;
    }
    Edit edits[MOST_EDITS];
    char digits[MOST_EDITS][DIGITS];
    Py_ssize_t number = 0;
    for (Py_ssize_t one = 1; one < count; one += 3) {
        Edit edit = {PyLong_AsSsize_t(given[one]), PyLong_AsSsize_t(given[one + 1]), 0, NULL};
        if (PyErr_Occurred() || !take_edit(given[one + 2], &edit, digits[number])) return NULL;
        put_edit(edits, number++, edit);
    }
    return edited(given[0], edits, number);
}

static uint32_t crcs[256];

static void fill_crcs(void)
{
    for (uint32_t octet = 0; octet < 256; octet++) {
        uint32_t crc = octet;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
        crcs[octet] = crc;
    }
}

/* Take the octets of `text` into `crc`; return 0 on an error. */
static int take_text(PyObject *text, uint32_t *crc)
{
    /* Octets that were no UTF-8 are surrogates in a text. */
    PyObject *octets = NULL;
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    const uint8_t *p;
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        p = PyUnicode_1BYTE_DATA(text);
    } else {
        octets = PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
        if (octets == NULL) return 0;
        p = (const uint8_t *)PyBytes_AS_STRING(octets);
        size = PyBytes_GET_SIZE(octets);
    }
    uint32_t sum = *crc;
    for (Py_ssize_t at = 0; at < size; at++) sum = crcs[(sum ^ p[at]) & 255] ^ sum >> 8;
    *crc = sum;
    Py_XDECREF(octets);
    return 1;
}

/* text_hash(start, text, ...): see _head.pyi. */
static PyObject *leaving_text_hash(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    if (count < 2) {
        PyErr_SetString(PyExc_TypeError, "text_hash takes a number and texts");
        return NULL;
    }
    uint32_t crc = ~(uint32_t)PyLong_AsUnsignedLongMask(given[0]);
    if (PyErr_Occurred()) return NULL;
    for (Py_ssize_t one = 1; one < count; one++) {
        if (one > 1) crc = crcs[(crc ^ '\n') & 255] ^ crc >> 8;
        if (PyUnicode_Check(given[one])) {
            if (!take_text(given[one], &crc)) return NULL;
        } else {
            char digits[24];
            unsigned long value = PyLong_AsUnsignedLong(given[one]);
            if (PyErr_Occurred()) return NULL;
            for (char *at = digits_before(digits + 24, value); at < digits + 24; at++)
                crc = crcs[(crc ^ (uint8_t)*at) & 255] ^ crc >> 8;
        }
    }
    crc = ~crc;
    PyObject *text = PyUnicode_New(8, 127);
    if (text == NULL) return NULL;
    for (int digit = 0; digit < 8; digit++)
        PyUnicode_1BYTE_DATA(text)[digit] = (uint8_t)"0123456789abcdef"[crc >> (28 - 4 * digit) & 15];
    return text;
}

/* noted(line, host, port): see _head.pyi. */
static PyObject *leaving_noted(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    if (count != 3 || !PyUnicode_Check(given[0]) || !PyUnicode_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "noted takes a line, a host and a port");
        return NULL;
    }
    if (!PyUnicode_IS_COMPACT_ASCII(given[0]) || !PyUnicode_IS_COMPACT_ASCII(given[1])) {
        PyErr_SetString(PyExc_ValueError, "a Via in brief is ASCII");
        return NULL;
    }
    unsigned long port = PyLong_AsUnsignedLong(given[2]);
    if (PyErr_Occurred()) return NULL;
    char digits[24], *first = digits_before(digits + 24, port);
    const char *line = (const char *)PyUnicode_1BYTE_DATA(given[0]), *flag = line;
    size_t size = (size_t)PyUnicode_GET_LENGTH(given[0]), host = (size_t)PyUnicode_GET_LENGTH(given[1]);
    while ((flag = memchr(flag, ';', size - (size_t)(flag - line))) != NULL) {
        if (size - (size_t)(flag - line) >= 6 && !memcmp(flag, ";rport", 6)) break;
        flag++;
    }
    /* Behind the flag, which stands there where it is asked for. */
    size_t before = flag == NULL ? size : (size_t)(flag - line) + 6, number = (size_t)(digits + 24 - first);
    const struct { const char *text; size_t size; } pieces[] = {
        {line, flag == NULL ? size : before - 6}, {";rport=", 7}, {first, number}, {";received=", 10},
        {(const char *)PyUnicode_1BYTE_DATA(given[1]), host}, {line + before, size - before},
    };
    size_t length = 0;
    for (size_t one = 0; one < sizeof pieces / sizeof *pieces; one++) length += pieces[one].size;
    PyObject *text = PyUnicode_New((Py_ssize_t)length, 127);
    if (text == NULL) return NULL;
    char *out = (char *)PyUnicode_1BYTE_DATA(text);
    for (size_t one = 0; one < sizeof pieces / sizeof *pieces; one++) {
        memcpy(out, pieces[one].text, pieces[one].size);
        out += pieces[one].size;
    }
    return text;
}
