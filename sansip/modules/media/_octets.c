/* What media reads of a message and of the description in it: the twin in C of octets.py, which states the rules.
 *
 * Both return the same for any octets: tests/modules/media/test_octets.py plays both. Nothing is written; a bytes
 * object ends in a NUL, which no read goes behind. Time: each octet is looked at a fixed number of times.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef const char *Octets;

/* Where "\r\n" begins at or after `at`, all of it before `end`; NULL where it does not. */
static Octets line_end(Octets at, Octets end)
{
    while (end - at >= 2) {
        Octets found = memchr(at, '\r', (size_t)(end - at) - 1);
        if (found == NULL) return NULL;
        if (found[1] == '\n') return found;
        at = found + 1;
    }
    return NULL;
}

/* Where the empty line begins that ends the head; NULL where there is none. */
static Octets head_end(Octets data, Octets end)
{
    for (Octets at = data; (at = line_end(at, end)) != NULL; at += 2)
        if (end - at >= 4 && at[2] == '\r' && at[3] == '\n') return at;
    return NULL;
}

static int lower(int c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Whether the octets up to `end` begin with `text`, which is in lower case, in any case. */
static int begins(Octets at, Octets end, const char *text)
{
    for (; *text; at++, text++)
        if (at == end || lower((unsigned char)*at) != *text) return 0;
    return 1;
}

static int is_bytes(PyObject *data)
{
    if (PyBytes_CheckExact(data)) return 1;
    PyErr_SetString(PyExc_TypeError, "octets are bytes");
    return 0;
}

static PyObject *octets_place(PyObject *module, PyObject *data)
{
    if (!is_bytes(data)) return NULL;
    Octets begin = PyBytes_AS_STRING(data), all = begin + PyBytes_GET_SIZE(data), end = head_end(begin, all);
    if (end == NULL) Py_RETURN_NONE;
    Octets digits = NULL, stop = NULL;
    int typed = 0, after = 0;
    for (Octets line = begin; line <= end;) {
        Octets last = line_end(line, end);
        if (last == NULL) last = end;
        int first = line < last ? *line : 0;
        /* One of the two lines is folded. */
        if (after && (first == ' ' || first == '\t')) Py_RETURN_NONE;
        after = 0;
        if (first == 'c' || first == 'C' || first == 'e' || first == 'E' || first == 'l' || first == 'L') {
            if (begins(line, last, "content-")) {
                after = 1;
                if (!typed && last - line == 29 && begins(line, last, "content-type: application/sdp"))
                    typed = 1;
                else if (stop == NULL && begins(line, last, "content-length: ")) {
                    digits = line + 16;
                    stop = last;
                } else
                    Py_RETURN_NONE;
            } else if (last - line > 1 && (line[1] == ' ' || line[1] == '\t' || line[1] == ':'))
                Py_RETURN_NONE;
        }
        line = last + 2;
    }
    Octets body = end + 4;
    if (!typed || stop == NULL || body == all) Py_RETURN_NONE;
    Octets at = digits;
    while (at < stop && *at == ' ') at++;
    if (at == stop || *at == '0' || stop - at > 9) Py_RETURN_NONE;
    Py_ssize_t size = 0;
    for (; at < stop; at++) {
        if (*at < '0' || *at > '9') Py_RETURN_NONE;
        size = size * 10 + (*at - '0');
    }
    if (size != all - body) Py_RETURN_NONE;
    return Py_BuildValue("nnn", digits - begin, stop - begin, body - begin);
}

static PyObject *octets_record_routes(PyObject *module, PyObject *data)
{
    if (!is_bytes(data)) return NULL;
    Octets begin = PyBytes_AS_STRING(data), all = begin + PyBytes_GET_SIZE(data), end = head_end(begin, all);
    if (end == NULL) return PyUnicode_FromStringAndSize(NULL, 0);
    /* As most write it, else in any other way. */
    Octets usual = NULL, usual_end = NULL, other = NULL, other_end = NULL;
    for (Octets line = line_end(begin, end + 2); line != NULL && line < end;) {
        line += 2;
        Octets last = line_end(line, end + 2);
        if (last == NULL) break;
        if (lower((unsigned char)*line) == 'r' && begins(line, last, "record-route")) {
            Octets at = line + 12;
            while (at < last && (*at == ' ' || *at == '\t')) at++;
            if (at < last && *at == ':') {
                if (other == NULL) other = line;
                other_end = last;
                if (at == line + 12 && memcmp(line, "Record-Route", 12) == 0) {
                    if (usual == NULL) usual = line;
                    usual_end = last;
                }
            }
        }
        line = last;
    }
    if (usual != NULL) {
        other = usual;
        other_end = usual_end;
    }
    if (other == NULL) return PyUnicode_FromStringAndSize(NULL, 0);
    return PyUnicode_DecodeUTF8(other, other_end - other, "surrogateescape");
}

/* Behind a run of one octet or more that is no blank, no CR and no NUL; NULL where there is none. */
static Octets word_end(Octets at, Octets end)
{
    Octets begin = at;
    while (at < end && *at != ' ' && *at != '\r' && *at) at++;
    return at == begin ? NULL : at;
}

static int is_used(Octets at, Octets end)
{
    at = word_end(at + 2, end);
    if (at == NULL || at == end || *at++ != ' ') return 0;
    long port = 0;
    Octets digits = at;
    while (at < end && *at >= '0' && *at <= '9' && at - digits < 5) port = port * 10 + (*at++ - '0');
    if (at == digits || *digits == '0' || port > 65535 || at == end || *at++ != ' ') return 0;
    at = word_end(at, end);
    return at != NULL && at < end && *at == ' ' && word_end(at + 1, end) != NULL;
}

static PyObject *octets_family(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "family(sdp, most_lines)");
        return NULL;
    }
    if (!is_bytes(args[0])) return NULL;
    long most = PyLong_AsLong(args[1]);
    if (most == -1 && PyErr_Occurred()) return NULL;
    Octets begin = PyBytes_AS_STRING(args[0]), all = begin + PyBytes_GET_SIZE(args[0]);
    Octets medium = NULL, medium_end = NULL, place = NULL, place_end = NULL;
    long lines = 0, no = 0;
    for (Octets line = begin;;) {
        Octets last = memchr(line, '\n', (size_t)(all - line));
        Octets end = last == NULL ? all : last;
        if (++lines > most) break;
        if (lines == 1 && (end - line != 4 || memcmp(line, "v=0\r", 4) != 0)) {
            no = 1;
            break;
        }
        if (end - line >= 2 && line[1] == '=') {
            if (*line == 'm') {
                if (medium != NULL) no = 1;
                medium = line;
                medium_end = end;
            } else if (*line == 'c') {
                if (place != NULL || last == NULL) no = 1;
                place = line;
                place_end = end;
            } else if (*line == 'a' && end - line > 2) {
                if (end - line >= 13 && memcmp(line, "a=fingerprint", 13) == 0) no = 1;
                if (end - line >= 8 && memcmp(line, "a=crypto", 8) == 0) no = 1;
            }
        }
        if (no || last == NULL) break;
        line = last + 1;
    }
    if (no || lines > most || medium == NULL || place == NULL || !is_used(medium, medium_end))
        return PyLong_FromLong(0);
    /* "c=IN IP4 ", a word, and a CR or none. */
    if (place_end - place < 10 || memcmp(place, "c=IN IP", 7) != 0 || (place[7] != '4' && place[7] != '6')
        || place[8] != ' ')
        return PyLong_FromLong(0);
    Octets at = word_end(place + 9, place_end);
    if (at == NULL || !(at == place_end || (*at == '\r' && at + 1 == place_end))) return PyLong_FromLong(0);
    return PyLong_FromLong(place[7] - '0');
}

/* Behind the next "\nm="; NULL where there is none. */
static Octets next_medium(Octets at, Octets end)
{
    while (end - at >= 3) {
        Octets found = memchr(at, '\n', (size_t)(end - at) - 2);
        if (found == NULL) return NULL;
        if (found[1] == 'm' && found[2] == '=') return found + 3;
        at = found + 1;
    }
    return NULL;
}

static Py_ssize_t kind_length(Octets at, Octets end)
{
    Octets begin = at;
    while (at < end && *at != ' ' && *at != '\r' && *at != '\n') at++;
    return at - begin;
}

static PyObject *octets_same_media(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "same_media(sdp, made)");
        return NULL;
    }
    if (!is_bytes(args[0]) || !is_bytes(args[1])) return NULL;
    Octets one = PyBytes_AS_STRING(args[0]), one_end = one + PyBytes_GET_SIZE(args[0]);
    Octets two = PyBytes_AS_STRING(args[1]), two_end = two + PyBytes_GET_SIZE(args[1]);
    for (;;) {
        one = next_medium(one, one_end);
        two = next_medium(two, two_end);
        if (one == NULL || two == NULL) return PyBool_FromLong(one == two);
        Py_ssize_t length = kind_length(one, one_end);
        if (length != kind_length(two, two_end) || memcmp(one, two, (size_t)length) != 0) Py_RETURN_FALSE;
    }
}

static PyObject *octets_reply(PyObject *module, PyObject *data)
{
    if (!is_bytes(data)) return NULL;
    Octets at = PyBytes_AS_STRING(data), end = at + PyBytes_GET_SIZE(data);
    at = memchr(at, ' ', (size_t)(end - at));
    if (at == NULL || end - at < 7 || memcmp(at, " d3:sdp", 7) != 0) Py_RETURN_NONE;
    at += 7;
    Octets digits = at;
    Py_ssize_t size = 0;
    while (at < end && *at >= '0' && *at <= '9' && at - digits < 5) size = size * 10 + (*at++ - '0');
    if (at == digits || *digits == '0' || at == end || *at++ != ':') Py_RETURN_NONE;
    if (end - at - 13 != size || memcmp(at + size, "6:result2:oke", 13) != 0) Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(at, size);
}

static PyMethodDef methods[] = {
    {"place", octets_place, METH_O, "Where the digits of Content-Length begin and end, and the body begins."},
    {"record_routes", octets_record_routes, METH_O, "The lines Record-Route of a message, with what is between them."},
    {"family", (PyCFunction)(void (*)(void))octets_family, METH_FASTCALL, "4 or 6 of a classic phone, 0 of others."},
    {"same_media", (PyCFunction)(void (*)(void))octets_same_media, METH_FASTCALL, "Whether two have the same kinds."},
    {"reply", octets_reply, METH_O, "The description in a reply that says nothing else but \"ok\"."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, "_octets", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__octets(void) { return PyModule_Create(&module_def); }
