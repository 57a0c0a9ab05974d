/* Keyed BLAKE2b (RFC 7693) of short texts, as hexadecimal digits: the twin in C of python_keyed in keyed.py.
 *
 * hashlib does the same, and pays for it with an object of its own for each text, and with a pass over the key. Here the
 * state behind the key is kept, so a text of up to 128 octets is one pass. tests/test_keyed.py compares both.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>

enum { BLOCK = 128, WORDS = 8, MOST = 64, PERSON = 16 };

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    /* The state before any octet, and the one behind the key, which is a block by itself. */
    uint64_t begun[WORDS], keyed[WORDS];
    uint8_t key[BLOCK];
    int has_key, size;
} Keyed;

static const uint64_t initial[WORDS] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

static inline uint64_t word_at(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

#define TURNED(word, by) ((word) >> (by) | (word) << (64 - (by)))
#define MIX(a, b, c, d, x, y) \
    do { \
        a += b + (x), d = TURNED(d ^ a, 32), c += d, b = TURNED(b ^ c, 24); \
        a += b + (y), d = TURNED(d ^ a, 16), c += d, b = TURNED(b ^ c, 63); \
    } while (0)
/* RFC 7693 2.7: which words of the block each round takes, in order. */
#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15) \
    do { \
        MIX(v0, v4, v8, v12, m[m0], m[m1]); \
        MIX(v1, v5, v9, v13, m[m2], m[m3]); \
        MIX(v2, v6, v10, v14, m[m4], m[m5]); \
        MIX(v3, v7, v11, v15, m[m6], m[m7]); \
        MIX(v0, v5, v10, v15, m[m8], m[m9]); \
        MIX(v1, v6, v11, v12, m[m10], m[m11]); \
        MIX(v2, v7, v8, v13, m[m12], m[m13]); \
        MIX(v3, v4, v9, v14, m[m14], m[m15]); \
    } while (0)

/* Take the block at `p`, up to whose end there are `count` octets; RFC 7693 3.2. */
static void take(uint64_t *h, const uint8_t *p, uint64_t count, int is_last)
{
    uint64_t m[16];
    for (int at = 0; at < 16; at++) m[at] = word_at(p + 8 * at);
    uint64_t v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
    uint64_t v8 = initial[0], v9 = initial[1], v10 = initial[2], v11 = initial[3], v12 = initial[4] ^ count,
             v13 = initial[5], v14 = is_last ? ~initial[6] : initial[6], v15 = initial[7];
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    h[0] ^= v0 ^ v8, h[1] ^= v1 ^ v9, h[2] ^= v2 ^ v10, h[3] ^= v3 ^ v11;
    h[4] ^= v4 ^ v12, h[5] ^= v5 ^ v13, h[6] ^= v6 ^ v14, h[7] ^= v7 ^ v15;
}

static PyObject *keyed_call(PyObject *callable, PyObject *const *given, size_t flags, PyObject *names)
{
    Keyed *self = (Keyed *)callable;
    if (PyVectorcall_NARGS(flags) != 1 || names != NULL || !(PyUnicode_Check(given[0]) || PyBytes_Check(given[0]))) {
        PyErr_SetString(PyExc_TypeError, "a hash takes one text, or bytes");
        return NULL;
    }
    PyObject *made = NULL;
    const uint8_t *p;
    Py_ssize_t left;
    if (PyBytes_Check(given[0])) {
        p = (const uint8_t *)PyBytes_AS_STRING(given[0]);
        left = PyBytes_GET_SIZE(given[0]);
    } else if (PyUnicode_IS_COMPACT_ASCII(given[0])) {
        p = PyUnicode_1BYTE_DATA(given[0]);
        left = PyUnicode_GET_LENGTH(given[0]);
    } else {
        /* Octets that were no UTF-8 are surrogates in a text. */
        made = PyUnicode_AsEncodedString(given[0], "utf-8", "surrogateescape");
        if (made == NULL) return NULL;
        p = (const uint8_t *)PyBytes_AS_STRING(made);
        left = PyBytes_GET_SIZE(made);
    }
    uint64_t h[WORDS], count = 0;
    uint8_t last[BLOCK];
    int keeps = self->has_key && left;
    memcpy(h, keeps ? self->keyed : self->begun, sizeof h);
    if (keeps) count = BLOCK;
    for (; left > BLOCK; left -= BLOCK, p += BLOCK) take(h, p, count += BLOCK, 0);
    if (self->has_key && !left) {
        /* The key alone. */
        take(h, self->key, BLOCK, 1);
    } else {
        memset(last, 0, sizeof last);
        memcpy(last, p, (size_t)left);
        take(h, last, count + (uint64_t)left, 1);
    }
    Py_XDECREF(made);
    PyObject *text = PyUnicode_New(2 * self->size, 127);
    if (text == NULL) return NULL;
    uint8_t *out = PyUnicode_1BYTE_DATA(text);
    for (int at = 0; at < self->size; at++) {
        unsigned octet = h[at / 8] >> 8 * (at % 8) & 255;
        out[2 * at] = (uint8_t)"0123456789abcdef"[octet >> 4];
        out[2 * at + 1] = (uint8_t)"0123456789abcdef"[octet & 15];
    }
    return text;
}

static PyTypeObject *keyed_type;

/* keyed(key, size, person): see _keyed.pyi. */
static PyObject *module_keyed(PyObject *module, PyObject *given)
{
    Py_buffer key, person;
    int size;
    if (!PyArg_ParseTuple(given, "y*iy*", &key, &size, &person)) return NULL;
    Keyed *self = NULL;
    if (key.len > MOST || person.len > PERSON || size < 1 || size > MOST) {
        PyErr_SetString(PyExc_ValueError, "a key of up to 64 octets, 1 to 64 digits of two, a name of up to 16 octets");
    } else if ((self = PyObject_New(Keyed, keyed_type)) != NULL) {
        /* RFC 7693 2.5, 2.8. */
        uint8_t parameters[MOST] = {(uint8_t)size, (uint8_t)key.len, 1, 1};
        memcpy(parameters + 48, person.buf, (size_t)person.len);
        for (int at = 0; at < WORDS; at++) self->begun[at] = initial[at] ^ word_at(parameters + 8 * at);
        memset(self->key, 0, sizeof self->key);
        memcpy(self->key, key.buf, (size_t)key.len);
        memcpy(self->keyed, self->begun, sizeof self->keyed);
        self->has_key = key.len > 0;
        if (self->has_key) take(self->keyed, self->key, BLOCK, 0);
        self->size = size;
        self->call = keyed_call;
    }
    PyBuffer_Release(&key);
    PyBuffer_Release(&person);
    return (PyObject *)self;
}

static void keyed_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMemberDef keyed_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Keyed, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot keyed_slots[] = {
    {Py_tp_members, keyed_members},
    {Py_tp_dealloc, keyed_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_doc, "Returns the hash of a text."},
    {0, NULL},
};

static PyType_Spec keyed_spec = {
    "sansip._keyed.Keyed", sizeof(Keyed), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, keyed_slots,
};

static PyMethodDef methods[] = {
    {"keyed", module_keyed, METH_VARARGS, "Return a function that hashes texts."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, "_keyed", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__keyed(void)
{
    PyObject *module = PyModule_Create(&module_def);
    if (module == NULL) return NULL;
    keyed_type = (PyTypeObject *)PyType_FromSpec(&keyed_spec);
    if (keyed_type == NULL) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
