/* The octets of one plain binding: the twin in C of plain_octets in packed.py.
 *
 * A REGISTER makes one such record, and compares it with the one that it replaces. In Python that is a text, its octets,
 * several numbers as objects and slices of both records; here it is one pass. tests/location/test_packed.py compares both.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* expires_at, registered_at, refreshed_at, cseq, octets of text, reg_id, q, flow, transport and port of the source, flags. */
enum { EXPIRES = 0, REGISTERED = 8, REFRESHED = 16, CSEQ = 24, TEXT = 28, FLOW = 38, TRANSPORT = 40, PORT = 41, FLAGS = 43, SIZE = 44 };
enum { NO_INSTANCE = 1, NO_SOURCE = 2, NO_AGENT = 4, NO_Q = 8, NO_REG_ID = 16 };

static void put(uint8_t *p, uint64_t value, int octets)
{
    for (int at = 0; at < octets; at++) p[at] = (uint8_t)(value >> 8 * at);
}

static uint64_t taken(const uint8_t *p, int octets)
{
    uint64_t value = 0;
    for (int at = 0; at < octets; at++) value |= (uint64_t)p[at] << 8 * at;
    return value;
}

static void put_double(uint8_t *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(p, bits, 8);
}

static double taken_double(const uint8_t *p)
{
    uint64_t bits = taken(p, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A text of ASCII without a separator, or None, which is as an empty one. */
typedef struct {
    const char *data;
    Py_ssize_t size;
} Text;

static int read_text(PyObject *given, Text *text)
{
    text->data = "";
    text->size = 0;
    if (given == Py_None) return 1;
    /* In one block: to unfold another one takes memory, which may be refused. */
    if (!PyUnicode_Check(given) || !PyUnicode_IS_COMPACT_ASCII(given)) return 0;
    text->data = (const char *)PyUnicode_1BYTE_DATA(given);
    text->size = PyUnicode_GET_LENGTH(given);
    return memchr(text->data, '\n', (size_t)text->size) == NULL;
}

/* Read a number of `least` to `most`. */
static int read_number(PyObject *given, long long least, long long most, long long *number)
{
    int overflow = 0;
    if (!PyLong_Check(given)) return 0;
    *number = PyLong_AsLongLongAndOverflow(given, &overflow);
    return !overflow && *number >= least && *number <= most;
}

/* Whether the text of `held` begins as that of `packed`, up to and with the separator behind `size` octets. */
static int same(const uint8_t *held, Py_ssize_t length, const uint8_t *packed, Py_ssize_t size)
{
    return length >= SIZE + size + 1 && memcmp(held + SIZE, packed + SIZE, (size_t)size + 1) == 0;
}

static PyObject *plain(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    if (count != 11) {
        PyErr_SetString(PyExc_TypeError, "plain takes eleven values");
        return NULL;
    }
    Text contact, call_id, host, agent;
    long long cseq, flow, transport, port;
    PyObject *held = given[10];
    /* All else is for Python. */
    if (given[0] == Py_None || given[1] == Py_None || !read_text(given[0], &contact) || !read_text(given[1], &call_id)
        || !read_number(given[2], 0, UINT32_MAX, &cseq) || !PyFloat_Check(given[3]) || !PyFloat_Check(given[4])
        || !read_number(given[5], INT16_MIN, INT16_MAX, &flow) || !read_text(given[6], &host)
        || !read_number(given[7], 0, UINT8_MAX, &transport) || !read_number(given[8], 0, UINT16_MAX, &port)
        || !read_text(given[9], &agent) || !(held == Py_None || (PyBytes_CheckExact(held) && PyBytes_GET_SIZE(held) >= SIZE)))
        Py_RETURN_NOTIMPLEMENTED;
    Py_ssize_t room = PY_SSIZE_T_MAX / 8;
    if (contact.size > room || call_id.size > room || host.size > room || agent.size > room) Py_RETURN_NOTIMPLEMENTED;
    Py_ssize_t size = contact.size + call_id.size + host.size + agent.size + 5;
    if ((uint64_t)size > UINT32_MAX) Py_RETURN_NOTIMPLEMENTED;
    double expires_at = PyFloat_AS_DOUBLE(given[3]), now = PyFloat_AS_DOUBLE(given[4]);
    PyObject *octets = PyBytes_FromStringAndSize(NULL, SIZE + size);
    if (octets == NULL) return NULL;
    uint8_t *packed = (uint8_t *)PyBytes_AS_STRING(octets), *at = packed + SIZE;
    memset(packed, 0, SIZE);
#define ADD(text, behind) \
    memcpy(at, (text).data, (size_t)(text).size); \
    at += (text).size; \
    memcpy(at, behind, sizeof behind - 1); \
    at += sizeof behind - 1
    ADD(contact, "\n");
    ADD(call_id, "\n\n\n");
    ADD(host, "\n");
    ADD(agent, "");
    double registered = now, expired = 0;
    int has_source = given[6] != Py_None, hidden = has_source;
    if (held != Py_None) {
        const uint8_t *old = (const uint8_t *)PyBytes_AS_STRING(held);
        Py_ssize_t length = PyBytes_GET_SIZE(held);
        expired = taken_double(old + EXPIRES);
        if ((Py_ssize_t)taken(old + TEXT, 4) != length - SIZE || !(old[FLAGS] & NO_REG_ID) || expired <= now
            || !same(old, length, packed, contact.size)
            /* RFC 3261 10.3 step 7 */
            || ((uint64_t)cseq <= taken(old + CSEQ, 4) && same(old, length, packed, contact.size + 1 + call_id.size))) {
            Py_DECREF(octets);
            Py_RETURN_NONE;
        }
        double since = taken_double(old + REGISTERED);
        if (!(now < since)) registered = since;
        hidden = hidden || !(old[FLAGS] & NO_SOURCE);
    }
    put_double(packed + EXPIRES, expires_at);
    put_double(packed + REGISTERED, registered);
    put_double(packed + REFRESHED, now);
    put(packed + CSEQ, (uint64_t)cseq, 4);
    put(packed + TEXT, (uint64_t)size, 4);
    put(packed + FLOW, (uint64_t)flow, 2);
    packed[TRANSPORT] = (uint8_t)transport;
    put(packed + PORT, (uint64_t)port, 2);
    packed[FLAGS] = (uint8_t)(NO_INSTANCE | (has_source ? 0 : NO_SOURCE) | (given[9] == Py_None ? NO_AGENT : 0) | NO_Q | NO_REG_ID);
    PyObject *ends = PyFloat_FromDouble(expired);
    PyObject *result = ends == NULL ? NULL : PyTuple_New(3);
    if (result == NULL) {
        Py_DECREF(octets);
        Py_XDECREF(ends);
        return NULL;
    }
    PyTuple_SET_ITEM(result, 0, octets);
    PyTuple_SET_ITEM(result, 1, ends);
    PyTuple_SET_ITEM(result, 2, PyBool_FromLong(hidden));
    return result;
}

static PyMethodDef methods[] = {
    {"plain", (PyCFunction)(void (*)(void))plain, METH_FASTCALL,
     "Return what plain_octets returns; NotImplemented where that has to be asked."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, "_packed", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__packed(void) { return PyModule_Create(&module_def); }
