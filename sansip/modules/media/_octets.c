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

/* What is read of the head of a message. */
typedef struct {
    Octets digits, stop;       /* the digits of Content-Length; NULL where the body is none by the usual fields */
    Octets routes, routes_end; /* the lines Record-Route, with what is between them; NULL where there are none */
    Octets body;
} Head;

/* Whether the digits of Content-Length, behind blanks, say `size`. */
static int says(Octets at, Octets stop, Py_ssize_t size)
{
    while (at < stop && *at == ' ') at++;
    if (at == stop || *at == '0' || stop - at > 9) return 0;
    Py_ssize_t number = 0;
    for (; at < stop; at++) {
        if (*at < '0' || *at > '9') return 0;
        number = number * 10 + (*at - '0');
    }
    return number == size;
}

/* Read the head line by line; return 0 where it has no end. */
static int read_head(Octets begin, Octets all, Head *head)
{
    Octets end = head_end(begin, all);
    if (end == NULL) return 0;
    Octets digits = NULL, stop = NULL;
    /* Record-Route as most write it, else in any other way. */
    Octets usual = NULL, usual_end = NULL, other = NULL, other_end = NULL;
    int typed = 0, after = 0, plain = 1;
    for (Octets line = begin; line <= end;) {
        Octets last = line_end(line, end);
        if (last == NULL) last = end;
        int first = line < last ? *line : 0;
        /* One of the two lines is folded. */
        if (after && (first == ' ' || first == '\t')) plain = 0;
        after = 0;
        switch (first) {
        case 'c': case 'C': case 'e': case 'E': case 'l': case 'L':
            if (begins(line, last, "content-")) {
                after = 1;
                if (!typed && last - line == 29 && begins(line + 8, last, "type: application/sdp"))
                    typed = 1;
                else if (stop == NULL && begins(line + 8, last, "length: ")) {
                    digits = line + 16;
                    stop = last;
                } else
                    plain = 0;
            } else if (last - line > 1 && (line[1] == ' ' || line[1] == '\t' || line[1] == ':'))
                plain = 0;
            break;
        case 'r': case 'R':
            if (line == begin || !begins(line, last, "record-route")) break;
            Octets at = line + 12;
            while (at < last && (*at == ' ' || *at == '\t')) at++;
            if (at == last || *at != ':') break;
            if (other == NULL) other = line;
            other_end = last;
            if (at == line + 12 && memcmp(line, "Record-Route", 12) == 0) {
                if (usual == NULL) usual = line;
                usual_end = last;
            }
        }
        line = last + 2;
    }
    head->body = end + 4;
    if (!plain || !typed || stop == NULL || head->body == all || !says(digits, stop, all - head->body))
        digits = stop = NULL;
    head->digits = digits;
    head->stop = stop;
    head->routes = usual != NULL ? usual : other;
    head->routes_end = usual != NULL ? usual_end : other_end;
    return 1;
}

static PyObject *text_of(Octets begin, Octets end)
{
    return PyUnicode_DecodeUTF8(begin, begin == NULL ? 0 : end - begin, "surrogateescape");
}

static PyObject *octets_place(PyObject *module, PyObject *data)
{
    if (!is_bytes(data)) return NULL;
    Octets begin = PyBytes_AS_STRING(data), all = begin + PyBytes_GET_SIZE(data);
    Head head;
    if (!read_head(begin, all, &head) || head.digits == NULL) Py_RETURN_NONE;
    return Py_BuildValue("nnn", head.digits - begin, head.stop - begin, head.body - begin);
}

static PyObject *octets_record_routes(PyObject *module, PyObject *data)
{
    if (!is_bytes(data)) return NULL;
    Octets begin = PyBytes_AS_STRING(data), all = begin + PyBytes_GET_SIZE(data);
    Head head;
    if (!read_head(begin, all, &head)) return text_of(NULL, NULL);
    return text_of(head.routes, head.routes_end);
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
    if (at == NULL || at == end || *at != ' ') return 0;
    while (at != NULL && at < end && *at == ' ') at = word_end(at + 1, end);
    return at != NULL && (at == end || (*at == '\r' && at + 1 == end));
}

static int family_of(Octets begin, Octets all, long most)
{
    Octets medium = NULL, medium_end = NULL, place = NULL, place_end = NULL;
    long lines = 0;
    for (Octets line = begin;;) {
        Octets last = memchr(line, '\n', (size_t)(all - line));
        Octets end = last == NULL ? all : last;
        if (++lines > most) return 0;
        if (lines == 1 && (end - line != 4 || memcmp(line, "v=0\r", 4) != 0)) return 0;
        if (end - line >= 2 && line[1] == '=') {
            if (*line == 'm') {
                if (medium != NULL) return 0;
                medium = line;
                medium_end = end;
            } else if (*line == 'c') {
                if (place != NULL || last == NULL) return 0;
                place = line;
                place_end = end;
            } else if (*line == 'a' && end - line > 2) {
                if (end - line >= 13 && memcmp(line, "a=fingerprint", 13) == 0) return 0;
                if (end - line >= 8 && memcmp(line, "a=crypto", 8) == 0) return 0;
            }
        }
        if (last == NULL) break;
        line = last + 1;
    }
    if (medium == NULL || place == NULL || !is_used(medium, medium_end)) return 0;
    /* "c=IN IP4 ", a word, and a CR or none. */
    if (place_end - place < 10 || memcmp(place, "c=IN IP", 7) != 0 || (place[7] != '4' && place[7] != '6')
        || place[8] != ' ')
        return 0;
    Octets at = word_end(place + 9, place_end);
    if (at == NULL || !(at == place_end || (*at == '\r' && at + 1 == place_end))) return 0;
    return place[7] - '0';
}

/* Read (bytes, int); return 0 with an exception where they are others. */
static int data_and_most(PyObject *const *args, Py_ssize_t count, long *most)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "(octets, most_lines)");
        return 0;
    }
    if (!is_bytes(args[0])) return 0;
    *most = PyLong_AsLong(args[1]);
    return *most != -1 || !PyErr_Occurred();
}

static PyObject *octets_family(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    long most;
    if (!data_and_most(args, count, &most)) return NULL;
    Octets begin = PyBytes_AS_STRING(args[0]);
    return PyLong_FromLong(family_of(begin, begin + PyBytes_GET_SIZE(args[0]), most));
}

static PyObject *octets_read(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    long most;
    if (!data_and_most(args, count, &most)) return NULL;
    Octets begin = PyBytes_AS_STRING(args[0]), all = begin + PyBytes_GET_SIZE(args[0]);
    Head head = {NULL, NULL, NULL, NULL, begin + 3};
    read_head(begin, all, &head);
    int plain = head.digits != NULL;
    PyObject *parts[] = {
        text_of(head.routes, head.routes_end),
        PyLong_FromLong(plain && most > 0 ? family_of(head.body, all, most) : 0),
        PyLong_FromSsize_t(plain ? head.digits - begin : -1),
        PyLong_FromSsize_t(plain ? head.stop - begin : -1),
        PyLong_FromSsize_t(head.body - begin),
    };
    PyObject *found = PyTuple_New(5);
    int whole = found != NULL;
    for (int at = 0; at < 5; at++) {
        whole = whole && parts[at] != NULL;
        if (found != NULL)
            PyTuple_SET_ITEM(found, at, parts[at]);
        else
            Py_XDECREF(parts[at]);
    }
    if (!whole) Py_CLEAR(found);
    return found;
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

static int are_same(Octets one, Octets one_end, Octets two, Octets two_end)
{
    for (;;) {
        one = next_medium(one, one_end);
        two = next_medium(two, two_end);
        if (one == NULL || two == NULL) return one == two;
        Py_ssize_t length = kind_length(one, one_end);
        if (length != kind_length(two, two_end) || memcmp(one, two, (size_t)length) != 0) return 0;
    }
}

static PyObject *octets_same_media(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "same_media(sdp, made)");
        return NULL;
    }
    if (!is_bytes(args[0]) || !is_bytes(args[1])) return NULL;
    Octets one = PyBytes_AS_STRING(args[0]), two = PyBytes_AS_STRING(args[1]);
    return PyBool_FromLong(are_same(one, one + PyBytes_GET_SIZE(args[0]), two, two + PyBytes_GET_SIZE(args[1])));
}

/* The description in a reply that says nothing else but "ok"; NULL in any other. */
static Octets replied(Octets at, Octets end, Py_ssize_t *length)
{
    at = memchr(at, ' ', (size_t)(end - at));
    if (at == NULL || end - at < 7 || memcmp(at, " d3:sdp", 7) != 0) return NULL;
    at += 7;
    Octets digits = at;
    Py_ssize_t size = 0;
    while (at < end && *at >= '0' && *at <= '9' && at - digits < 5) size = size * 10 + (*at++ - '0');
    if (at == digits || *digits == '0' || at == end || *at++ != ':') return NULL;
    if (end - at - 13 != size || memcmp(at + size, "6:result2:oke", 13) != 0) return NULL;
    *length = size;
    return at;
}

static PyObject *octets_reply(PyObject *module, PyObject *data)
{
    if (!is_bytes(data)) return NULL;
    Octets begin = PyBytes_AS_STRING(data);
    Py_ssize_t size;
    Octets at = replied(begin, begin + PyBytes_GET_SIZE(data), &size);
    if (at == NULL) Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(at, size);
}

static PyObject *octets_made(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "made(reply, sdp)");
        return NULL;
    }
    if (!is_bytes(args[0]) || !is_bytes(args[1])) return NULL;
    Octets begin = PyBytes_AS_STRING(args[0]), sdp = PyBytes_AS_STRING(args[1]);
    Py_ssize_t size;
    Octets at = replied(begin, begin + PyBytes_GET_SIZE(args[0]), &size);
    if (at == NULL || size < 3 || memcmp(at, "v=0", 3) != 0
        || !are_same(sdp, sdp + PyBytes_GET_SIZE(args[1]), at, at + size))
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(at, size);
}

static PyObject *octets_replaced(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "replaced(data, begin, stop, body, sdp)");
        return NULL;
    }
    if (!is_bytes(args[0]) || !is_bytes(args[4])) return NULL;
    Py_ssize_t at[3];
    for (int part = 0; part < 3; part++) {
        at[part] = PyLong_AsSsize_t(args[part + 1]);
        if (at[part] == -1 && PyErr_Occurred()) return NULL;
    }
    if (at[0] < 0 || at[1] < at[0] || at[2] < at[1] || at[2] > PyBytes_GET_SIZE(args[0])) {
        PyErr_SetString(PyExc_ValueError, "these are no places in the message");
        return NULL;
    }
    Octets data = PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[4]), between = at[2] - at[1];
    char digits[24];
    int written = PyOS_snprintf(digits, sizeof digits, "%zd", size);
    PyObject *made = PyBytes_FromStringAndSize(NULL, at[0] + written + between + size);
    if (made == NULL) return NULL;
    char *to = PyBytes_AS_STRING(made);
    memcpy(to, data, (size_t)at[0]);
    memcpy(to += at[0], digits, (size_t)written);
    memcpy(to += written, data + at[1], (size_t)between);
    memcpy(to + between, PyBytes_AS_STRING(args[4]), (size_t)size);
    return made;
}

/* Values of one command: a call's name, two tags, a description, a label. */
#define VALUES 8

static char *put_number(char *to, long long number)
{
    char digits[24];
    int count = 0;
    do digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count) *to++ = digits[--count];
    return to;
}

static PyObject *octets_spliced(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t values = count - 1;
    if (values < 1 || values > VALUES || !PyTuple_CheckExact(args[0]) || PyTuple_GET_SIZE(args[0]) != values + 1) {
        PyErr_SetString(PyExc_TypeError, "spliced(parts, *values)");
        return NULL;
    }
    Octets texts[VALUES];
    Py_ssize_t sizes[VALUES], size = 0;
    PyObject *encoded[VALUES], *made = NULL;
    Py_ssize_t have = 0;
    for (Py_ssize_t at = 0; at <= values; at++) {
        PyObject *part = PyTuple_GET_ITEM(args[0], at);
        if (!is_bytes(part)) return NULL;
        size += PyBytes_GET_SIZE(part);
    }
    for (; have < values; have++) {
        PyObject *value = args[have + 1];
        if (PyUnicode_Check(value) && PyUnicode_IS_COMPACT_ASCII(value)) {
            encoded[have] = Py_NewRef(value);
            texts[have] = (Octets)PyUnicode_DATA(value);
            sizes[have] = PyUnicode_GET_LENGTH(value);
        } else {
            if (PyUnicode_Check(value)) {
                encoded[have] = PyUnicode_AsEncodedString(value, "utf-8", "surrogateescape");
                if (encoded[have] == NULL) goto end;
            } else {
                if (!is_bytes(value)) goto end;
                encoded[have] = Py_NewRef(value);
            }
            texts[have] = PyBytes_AS_STRING(encoded[have]);
            sizes[have] = PyBytes_GET_SIZE(encoded[have]);
        }
        /* Its length and a colon. */
        size += sizes[have] + 2;
        for (Py_ssize_t rest = sizes[have]; rest > 9; rest /= 10) size++;
    }
    made = PyBytes_FromStringAndSize(NULL, size);
    if (made == NULL) goto end;
    char *to = PyBytes_AS_STRING(made);
    for (Py_ssize_t at = 0; at <= values; at++) {
        PyObject *part = PyTuple_GET_ITEM(args[0], at);
        memcpy(to, PyBytes_AS_STRING(part), (size_t)PyBytes_GET_SIZE(part));
        to += PyBytes_GET_SIZE(part);
        if (at == values) break;
        to = put_number(to, sizes[at]);
        *to++ = ':';
        memcpy(to, texts[at], (size_t)sizes[at]);
        to += sizes[at];
    }
end:
    while (have) Py_DECREF(encoded[--have]);
    return made;
}

/* Read (bytes, int, bytes): what the cookies of a process begin with, a number, and a command. */
static PyObject *octets_numbered(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "numbered(prefix, number, command)");
        return NULL;
    }
    if (!is_bytes(args[0]) || !is_bytes(args[2])) return NULL;
    /* As wide on machines of 32 bits: commands are counted for as long as a process runs. */
    long long number = PyLong_AsLongLong(args[1]);
    if (number == -1 && PyErr_Occurred()) return NULL;
    if (number < 0) {
        PyErr_SetString(PyExc_ValueError, "the number is below 0");
        return NULL;
    }
    char digits[24], *end = put_number(digits, number);
    Py_ssize_t before = PyBytes_GET_SIZE(args[0]), size = PyBytes_GET_SIZE(args[2]), written = end - digits;
    PyObject *made = PyBytes_FromStringAndSize(NULL, before + written + size + 2);
    if (made == NULL) return NULL;
    char *to = PyBytes_AS_STRING(made);
    memcpy(to, PyBytes_AS_STRING(args[0]), (size_t)before);
    to += before;
    *to++ = '_';
    memcpy(to, digits, (size_t)written);
    to += written;
    *to++ = ' ';
    memcpy(to, PyBytes_AS_STRING(args[2]), (size_t)size);
    return made;
}

static PyObject *octets_number_of(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "number_of(data, prefix)");
        return NULL;
    }
    if (!is_bytes(args[0]) || !is_bytes(args[1])) return NULL;
    Octets at = PyBytes_AS_STRING(args[0]), end = at + PyBytes_GET_SIZE(args[0]);
    Py_ssize_t before = PyBytes_GET_SIZE(args[1]);
    long long number = 0;
    if (end - at < before + 2 || memcmp(at, PyBytes_AS_STRING(args[1]), (size_t)before) != 0 || at[before] != '_')
        return PyLong_FromLong(-1);
    Octets digits = at += before + 1;
    while (at < end && *at >= '0' && *at <= '9' && at - digits < 15) number = number * 10 + (*at++ - '0');
    if (at == digits || *digits == '0' || (at < end && *at != ' ')) return PyLong_FromLong(-1);
    return PyLong_FromLongLong(number);
}

static PyMethodDef methods[] = {
    {"place", octets_place, METH_O, "Where the digits of Content-Length begin and end, and the body begins."},
    {"record_routes", octets_record_routes, METH_O, "The lines Record-Route of a message, with what is between them."},
    {"family", (PyCFunction)(void (*)(void))octets_family, METH_FASTCALL, "4 or 6 of a classic phone, 0 of others."},
    {"same_media", (PyCFunction)(void (*)(void))octets_same_media, METH_FASTCALL, "Whether two have the same kinds."},
    {"reply", octets_reply, METH_O, "The description in a reply that says nothing else but \"ok\"."},
    {"read", (PyCFunction)(void (*)(void))octets_read, METH_FASTCALL, "record_routes, family and place, in one."},
    {"made", (PyCFunction)(void (*)(void))octets_made, METH_FASTCALL, "The description of a reply, where it fits."},
    {"replaced", (PyCFunction)(void (*)(void))octets_replaced, METH_FASTCALL, "A message with another body."},
    {"spliced", (PyCFunction)(void (*)(void))octets_spliced, METH_FASTCALL, "A command, with its values."},
    {"numbered", (PyCFunction)(void (*)(void))octets_numbered, METH_FASTCALL, "A command behind its cookie."},
    {"number_of", (PyCFunction)(void (*)(void))octets_number_of, METH_FASTCALL, "The number in a cookie; -1: none."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, "_octets", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__octets(void) { return PyModule_Create(&module_def); }
