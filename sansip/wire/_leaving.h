/* What the ways of octets write: see splice.py and text_hash of loop.py in sansip/proxy.
 *
 * Part of _head.c. Both functions do what a twin in Python does, which tests compare them with.
 */

/* The most replacements at a time. */
enum { MOST_EDITS = 8 };

typedef struct {
    Py_ssize_t begin, end, size;
    const char *text;
} Edit;

/* spliced(came, begin, end, text, ...): see _head.pyi. */
static PyObject *leaving_spliced(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    if (count % 3 != 1 || count > 1 + 3 * MOST_EDITS || !PyBytes_CheckExact(given[0])) {
        PyErr_SetString(PyExc_TypeError, "spliced takes bytes, and of each of up to eight edits begin, end and text");
        return NULL;
    }
    Edit edits[MOST_EDITS];
    Py_ssize_t length = PyBytes_GET_SIZE(given[0]), number = 0, at = 0;
    for (Py_ssize_t one = 1; one < count; one += 3) {
        if (!PyUnicode_Check(given[one + 2])) {
            PyErr_SetString(PyExc_TypeError, "what is put in is a text");
            return NULL;
        }
        Edit edit = {PyLong_AsSsize_t(given[one]), PyLong_AsSsize_t(given[one + 1]), 0, NULL};
        if (PyErr_Occurred()) return NULL;
        edit.text = PyUnicode_AsUTF8AndSize(given[one + 2], &edit.size);
        if (edit.text == NULL) return NULL;
        /* In the order of the octets. */
        Py_ssize_t place = number++;
        for (; place; place--) {
            const Edit *before = &edits[place - 1];
            if (before->begin < edit.begin || (before->begin == edit.begin && before->end <= edit.end)) break;
            edits[place] = *before;
        }
        edits[place] = edit;
    }
    for (Py_ssize_t one = 0; one < number; one++) {
        if (edits[one].begin < at || edits[one].end < edits[one].begin || edits[one].end > PyBytes_GET_SIZE(given[0])) {
            PyErr_SetString(PyExc_ValueError, "an edit stands in another one, or outside");
            return NULL;
        }
        at = edits[one].end;
        length += edits[one].size - (edits[one].end - edits[one].begin);
    }
    PyObject *spliced = PyBytes_FromStringAndSize(NULL, length);
    if (spliced == NULL) return NULL;
    const char *came = PyBytes_AS_STRING(given[0]);
    char *out = PyBytes_AS_STRING(spliced);
    at = 0;
    for (Py_ssize_t one = 0; one < number; one++) {
        memcpy(out, came + at, (size_t)(edits[one].begin - at));
        out += edits[one].begin - at;
        memcpy(out, edits[one].text, (size_t)edits[one].size);
        out += edits[one].size;
        at = edits[one].end;
    }
    memcpy(out, came + at, (size_t)(PyBytes_GET_SIZE(given[0]) - at));
    return spliced;
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

/* text_hash(text, start): see _head.pyi. */
static PyObject *leaving_text_hash(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    if (count != 2 || !PyUnicode_Check(given[0])) {
        PyErr_SetString(PyExc_TypeError, "text_hash takes a text and a number");
        return NULL;
    }
    uint32_t crc = ~(uint32_t)PyLong_AsUnsignedLongMask(given[1]);
    if (PyErr_Occurred()) return NULL;
    /* Octets that were no UTF-8 are surrogates in a text. */
    PyObject *octets = NULL;
    Py_ssize_t size = PyUnicode_GET_LENGTH(given[0]);
    const uint8_t *p;
    if (PyUnicode_IS_COMPACT_ASCII(given[0])) {
        p = PyUnicode_1BYTE_DATA(given[0]);
    } else {
        octets = PyUnicode_AsEncodedString(given[0], "utf-8", "surrogateescape");
        if (octets == NULL) return NULL;
        p = (const uint8_t *)PyBytes_AS_STRING(octets);
        size = PyBytes_GET_SIZE(octets);
    }
    for (Py_ssize_t at = 0; at < size; at++) crc = crcs[(crc ^ p[at]) & 255] ^ crc >> 8;
    Py_XDECREF(octets);
    crc = ~crc;
    PyObject *text = PyUnicode_New(8, 127);
    if (text == NULL) return NULL;
    for (int digit = 0; digit < 8; digit++)
        PyUnicode_1BYTE_DATA(text)[digit] = (uint8_t)"0123456789abcdef"[crc >> (28 - 4 * digit) & 15];
    return text;
}
