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
#if defined(__x86_64__) && defined(__GNUC__) && !defined(BY_WORDS)
#include <immintrin.h>
#define BY_FOUR
#endif

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

/* RFC 7693 2.7: which words of the block each round takes, in order. */
static const uint8_t order[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

#define TURNED(word, by) ((word) >> (by) | (word) << (64 - (by)))
#define MIX(a, b, c, d, x, y) \
    do { \
        a += b + (x), d = TURNED(d ^ a, 32), c += d, b = TURNED(b ^ c, 24); \
        a += b + (y), d = TURNED(d ^ a, 16), c += d, b = TURNED(b ^ c, 63); \
    } while (0)

/* Take the block at `p`, up to whose end there are `count` octets; RFC 7693 3.2. The rounds are one loop: what runs
 * between two datagrams comes from memory, and so small code is fast code. */
static void take_by_words(uint64_t *h, const uint8_t *p, uint64_t count, int is_last)
{
    uint64_t m[16], v[16];
    for (int at = 0; at < 16; at++) m[at] = word_at(p + 8 * at);
    memcpy(v, h, 8 * WORDS);
    memcpy(v + WORDS, initial, sizeof initial);
    v[12] ^= count;
    if (is_last) v[14] = ~v[14];
    for (int round = 0; round < 12; round++) {
        const uint8_t *o = order[round];
        for (int at = 0; at < 4; at++) MIX(v[at], v[at + 4], v[at + 8], v[at + 12], m[o[2 * at]], m[o[2 * at + 1]]);
        for (int at = 0; at < 4; at++)
            MIX(v[at], v[(at + 1) % 4 + 4], v[(at + 2) % 4 + 8], v[(at + 3) % 4 + 12], m[o[2 * at + 8]], m[o[2 * at + 9]]);
    }
    for (int at = 0; at < WORDS; at++) h[at] ^= v[at] ^ v[at + WORDS];
}

#ifdef BY_FOUR
/* The same, four words at a time. */
#define FOUR(a, b, c, d) _mm256_set_epi64x((long long)(d), (long long)(c), (long long)(b), (long long)(a))
#define TURN_OCTETS(by) \
    _mm256_setr_epi8((by), (by) + 1, (by) + 2, ((by) + 3) % 8, ((by) + 4) % 8, ((by) + 5) % 8, ((by) + 6) % 8, \
                     ((by) + 7) % 8, (by) + 8, (by) + 9, (by) + 10, ((by) + 3) % 8 + 8, ((by) + 4) % 8 + 8, \
                     ((by) + 5) % 8 + 8, ((by) + 6) % 8 + 8, ((by) + 7) % 8 + 8, (by), (by) + 1, (by) + 2, \
                     ((by) + 3) % 8, ((by) + 4) % 8, ((by) + 5) % 8, ((by) + 6) % 8, ((by) + 7) % 8, (by) + 8, \
                     (by) + 9, (by) + 10, ((by) + 3) % 8 + 8, ((by) + 4) % 8 + 8, ((by) + 5) % 8 + 8, \
                     ((by) + 6) % 8 + 8, ((by) + 7) % 8 + 8)
#define MIX_FOUR(x, y) \
    do { \
        a = _mm256_add_epi64(_mm256_add_epi64(a, b), (x)); \
        d = _mm256_shuffle_epi32(_mm256_xor_si256(d, a), _MM_SHUFFLE(2, 3, 0, 1)); \
        c = _mm256_add_epi64(c, d); \
        b = _mm256_shuffle_epi8(_mm256_xor_si256(b, c), by_24); \
        a = _mm256_add_epi64(_mm256_add_epi64(a, b), (y)); \
        d = _mm256_shuffle_epi8(_mm256_xor_si256(d, a), by_16); \
        c = _mm256_add_epi64(c, d); \
        b = _mm256_xor_si256(b, c); \
        b = _mm256_or_si256(_mm256_add_epi64(b, b), _mm256_srli_epi64(b, 63)); \
    } while (0)

__attribute__((target("avx2"))) static void take_by_four(uint64_t *h, const uint8_t *p, uint64_t count, int is_last)
{
    const __m256i by_24 = TURN_OCTETS(3), by_16 = TURN_OCTETS(2);
    uint64_t m[16];
    memcpy(m, p, sizeof m);
    __m256i a = _mm256_loadu_si256((const __m256i *)h), b = _mm256_loadu_si256((const __m256i *)(h + 4));
    __m256i c = _mm256_loadu_si256((const __m256i *)initial), d = _mm256_loadu_si256((const __m256i *)(initial + 4));
    const __m256i first = a, second = b;
    d = _mm256_xor_si256(d, FOUR(count, 0, is_last ? ~(uint64_t)0 : 0, 0));
    for (int round = 0; round < 12; round++) {
        const uint8_t *o = order[round];
        MIX_FOUR(FOUR(m[o[0]], m[o[2]], m[o[4]], m[o[6]]), FOUR(m[o[1]], m[o[3]], m[o[5]], m[o[7]]));
        b = _mm256_permute4x64_epi64(b, _MM_SHUFFLE(0, 3, 2, 1));
        c = _mm256_permute4x64_epi64(c, _MM_SHUFFLE(1, 0, 3, 2));
        d = _mm256_permute4x64_epi64(d, _MM_SHUFFLE(2, 1, 0, 3));
        MIX_FOUR(FOUR(m[o[8]], m[o[10]], m[o[12]], m[o[14]]), FOUR(m[o[9]], m[o[11]], m[o[13]], m[o[15]]));
        b = _mm256_permute4x64_epi64(b, _MM_SHUFFLE(2, 1, 0, 3));
        c = _mm256_permute4x64_epi64(c, _MM_SHUFFLE(1, 0, 3, 2));
        d = _mm256_permute4x64_epi64(d, _MM_SHUFFLE(0, 3, 2, 1));
    }
    _mm256_storeu_si256((__m256i *)h, _mm256_xor_si256(first, _mm256_xor_si256(a, c)));
    _mm256_storeu_si256((__m256i *)(h + 4), _mm256_xor_si256(second, _mm256_xor_si256(b, d)));
}
#endif

/* The one of both that this processor has. */
static void (*take)(uint64_t *h, const uint8_t *p, uint64_t count, int is_last) = take_by_words;

/* A hash that is being made: the state, the octets that were taken, and those that follow them. */
typedef struct {
    uint64_t h[WORDS], count;
    size_t filled;
    uint8_t block[BLOCK];
} Made;

static void absorb(Made *made, const uint8_t *p, size_t size)
{
    while (size) {
        if (made->filled == BLOCK) {
            take(made->h, made->block, made->count += BLOCK, 0);
            made->filled = 0;
        }
        size_t part = size < BLOCK - made->filled ? size : BLOCK - made->filled;
        memcpy(made->block + made->filled, p, part);
        made->filled += part;
        p += part;
        size -= part;
    }
}

/* Take `text` in UTF-8; return 0 on an error. */
static int absorb_text(Made *made, PyObject *text)
{
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        absorb(made, PyUnicode_1BYTE_DATA(text), (size_t)PyUnicode_GET_LENGTH(text));
        return 1;
    }
    /* Octets that were no UTF-8 are surrogates in a text. */
    PyObject *octets = PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
    if (octets == NULL) return 0;
    absorb(made, (const uint8_t *)PyBytes_AS_STRING(octets), (size_t)PyBytes_GET_SIZE(octets));
    Py_DECREF(octets);
    return 1;
}

static PyObject *keyed_call(PyObject *callable, PyObject *const *given, size_t flags, PyObject *names)
{
    Keyed *self = (Keyed *)callable;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    int is_octets = count == 1 && PyBytes_Check(given[0]), is_text = count > 0;
    for (Py_ssize_t one = 0; one < count; one++) is_text &= PyUnicode_Check(given[one]);
    if (names != NULL || !(is_octets || is_text)) {
        PyErr_SetString(PyExc_TypeError, "a hash takes texts, or bytes");
        return NULL;
    }
    Made made;
    memcpy(made.h, self->keyed, sizeof made.h);
    made.count = self->has_key ? BLOCK : 0;
    made.filled = 0;
    if (is_octets) absorb(&made, (const uint8_t *)PyBytes_AS_STRING(given[0]), (size_t)PyBytes_GET_SIZE(given[0]));
    for (Py_ssize_t one = 0; is_text && one < count; one++) {
        if (one) absorb(&made, (const uint8_t *)"\n", 1);
        if (!absorb_text(&made, given[one])) return NULL;
    }
    uint64_t *h = made.h;
    if (self->has_key && !made.filled) {
        /* The key alone. */
        memcpy(h, self->begun, sizeof made.h);
        take(h, self->key, BLOCK, 1);
    } else {
        memset(made.block + made.filled, 0, BLOCK - made.filled);
        take(h, made.block, made.count + made.filled, 1);
    }
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
    {Py_tp_doc, "Returns the hash of texts, a line end between two."},
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
#ifdef BY_FOUR
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) take = take_by_four;
#endif
    keyed_type = (PyTypeObject *)PyType_FromSpec(&keyed_spec);
    if (keyed_type == NULL) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
