/* Datagrams of one UDP socket, without the detours of Python's socket objects: the twin in C of udp.py.
 *
 * What it saves: an address is a tuple that is made once and found again by the octets of the kernel's address; a
 * datagram is copied once, into an object of its size; a socket with nothing to read is a number and no exception;
 * an IPv4 address to send to is read without a look-up of names. udp.py states the rules: tests/adapters/sockets/
 * test_udp.py plays both.
 *
 * The descriptor is asked of the socket each time, so that one which was closed, and whose number another socket got,
 * is not used. The GIL is held where nothing waits.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* No UDP payload is longer (RFC 768: 16-bit length). */
#define LONGEST 65535
/* Addresses kept: the phones that send now. Two that fall on the same place take turns. */
#define KEPT 4096

typedef struct {
    PyObject_HEAD
    PyObject *fileno; /* bound methods of the socket */
    PyObject *sendto;
    int is_ipv4;
} Datagrams;

typedef struct {
    uint8_t key[sizeof(struct sockaddr_in6)];
    socklen_t length;
    PyObject *address;
} Place;

static Place places[KEPT];
static uint8_t received[LONGEST];
/* The buffer of those that wait: the last one that was used, NULL while one waits. */
static uint8_t *waiting;
static PyTypeObject *datagrams_type;

static int descriptor(Datagrams *self)
{
    PyObject *number = PyObject_CallNoArgs(self->fileno);
    if (number == NULL) return -2;
    long fd = PyLong_AsLong(number);
    Py_DECREF(number);
    return fd == -1 && PyErr_Occurred() ? -2 : (int)fd;
}

/* The address as Python's sockets write it. */
static PyObject *made_address(const struct sockaddr_storage *from)
{
    char host[INET6_ADDRSTRLEN];
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *place = (const struct sockaddr_in *)from;
        if (inet_ntop(AF_INET, &place->sin_addr, host, sizeof host) == NULL) return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("si", host, ntohs(place->sin_port));
    }
    const struct sockaddr_in6 *place = (const struct sockaddr_in6 *)from;
    if (inet_ntop(AF_INET6, &place->sin6_addr, host, sizeof host) == NULL) return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("siII", host, ntohs(place->sin6_port), ntohl(place->sin6_flowinfo), place->sin6_scope_id);
}

static PyObject *address_of(const struct sockaddr_storage *from)
{
    /* Of an IPv4 address the octets behind it are padding. */
    socklen_t length = from->ss_family == AF_INET ? offsetof(struct sockaddr_in, sin_zero) : sizeof(struct sockaddr_in6);
    const uint8_t *key = (const uint8_t *)from;
    uint32_t hash = 2166136261u;
    for (socklen_t at = 0; at < length; at++) hash = (hash ^ key[at]) * 16777619u;
    Place *place = &places[(hash ^ hash >> 16) % KEPT];
    if (place->address != NULL && place->length == length && memcmp(place->key, key, length) == 0)
        return Py_NewRef(place->address);
    PyObject *address = made_address(from);
    if (address == NULL) return NULL;
    memcpy(place->key, key, length);
    place->length = length;
    Py_XSETREF(place->address, Py_NewRef(address));
    return address;
}

/* Append what was read to the batch; return 0, or -1 with an exception. */
static int note(PyObject *batch, const uint8_t *data, ssize_t size, const struct sockaddr_storage *from)
{
    if (from->ss_family != AF_INET && from->ss_family != AF_INET6) {
        PyErr_SetString(PyExc_ValueError, "a datagram of another family than IPv4 and IPv6");
        return -1;
    }
    /* First the octets, which lie in the buffer of all: what is made after them may run other code. */
    PyObject *octets = PyBytes_FromStringAndSize((const char *)data, size);
    if (octets == NULL) return -1;
    PyObject *address = address_of(from);
    PyObject *pair = address == NULL ? NULL : PyTuple_New(2);
    if (pair == NULL) {
        Py_DECREF(octets);
        Py_XDECREF(address);
        return -1;
    }
    PyTuple_SET_ITEM(pair, 0, octets);
    PyTuple_SET_ITEM(pair, 1, address);
    int failed = PyList_Append(batch, pair);
    Py_DECREF(pair);
    return failed;
}

static PyObject *datagrams_receive(Datagrams *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyList_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "receive(list, most)");
        return NULL;
    }
    long most = PyLong_AsLong(args[1]);
    if (most == -1 && PyErr_Occurred()) return NULL;
    int fd = descriptor(self);
    if (fd == -2) return NULL;
    for (long read = 0; read < most; read++) {
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(fd, received, LONGEST, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
        if (size < 0) return PyLong_FromLong(errno);
        if (length == 0) return PyLong_FromLong(ESHUTDOWN);
        if (note(args[0], received, size, &from) < 0) return NULL;
    }
    return PyLong_FromLong(0);
}

static void give_back(uint8_t *buffer)
{
    if (waiting == NULL)
        waiting = buffer;
    else
        PyMem_RawFree(buffer);
}

static PyObject *datagrams_wait(Datagrams *self, PyObject *batch)
{
    if (!PyList_Check(batch)) {
        PyErr_SetString(PyExc_TypeError, "wait(list)");
        return NULL;
    }
    int fd = descriptor(self);
    if (fd == -2) return NULL;
    /* Other threads run meanwhile, so this cannot be the buffer of all. */
    uint8_t *buffer = waiting == NULL ? PyMem_RawMalloc(LONGEST) : waiting;
    if (buffer == NULL) return PyErr_NoMemory();
    waiting = NULL;
    struct sockaddr_storage from;
    socklen_t length;
    ssize_t size;
    int error = 0;
    for (;;) {
        length = sizeof from;
        Py_BEGIN_ALLOW_THREADS
        size = recvfrom(fd, buffer, LONGEST, 0, (struct sockaddr *)&from, &length);
        if (size < 0) error = errno;
        Py_END_ALLOW_THREADS
        if (size >= 0 || error != EINTR) break;
        if (PyErr_CheckSignals() < 0) {
            give_back(buffer);
            return NULL;
        }
    }
    /* Of a socket that was shut down: there is no datagram, and no address was written. */
    if (size >= 0 && length == 0) {
        size = -1;
        error = ESHUTDOWN;
    }
    int failed = size < 0 ? 0 : note(batch, buffer, size, &from);
    give_back(buffer);
    if (failed < 0) return NULL;
    return PyLong_FromLong(size < 0 ? error : 0);
}

/* Read an IPv4 address in its usual form; return 0 where it is anything else. */
static int read_ipv4(PyObject *text, struct in_addr *into)
{
    if (!PyUnicode_Check(text) || !PyUnicode_IS_COMPACT_ASCII(text)) return 0;
    const char *at = (const char *)PyUnicode_DATA(text);
    uint32_t value = 0;
    for (int part = 0; part < 4; part++) {
        if (part && *at++ != '.') return 0;
        unsigned number = 0;
        const char *begin = at;
        while (*at >= '0' && *at <= '9' && at - begin < 3) number = number * 10 + (unsigned)(*at++ - '0');
        /* A leading zero has several readings. */
        if (at == begin || number > 255 || (*begin == '0' && at - begin > 1)) return 0;
        value = value << 8 | number;
    }
    if (at - (const char *)PyUnicode_DATA(text) != PyUnicode_GET_LENGTH(text)) return 0;
    into->s_addr = htonl(value);
    return 1;
}

static PyObject *datagrams_sendto(Datagrams *self, PyObject *const *args, Py_ssize_t count)
{
    if (count == 2 && self->is_ipv4 && PyBytes_CheckExact(args[0]) && PyTuple_CheckExact(args[1])
        && PyTuple_GET_SIZE(args[1]) == 2 && PyLong_CheckExact(PyTuple_GET_ITEM(args[1], 1))) {
        struct sockaddr_in to = {.sin_family = AF_INET};
        int overflow = 0;
        long port = PyLong_AsLongAndOverflow(PyTuple_GET_ITEM(args[1], 1), &overflow);
        if (!overflow && port >= 0 && port <= 65535 && read_ipv4(PyTuple_GET_ITEM(args[1], 0), &to.sin_addr)) {
            to.sin_port = htons((uint16_t)port);
            int fd = descriptor(self);
            if (fd == -2) return NULL;
            ssize_t size = sendto(fd, PyBytes_AS_STRING(args[0]), (size_t)PyBytes_GET_SIZE(args[0]), MSG_DONTWAIT,
                                  (struct sockaddr *)&to, sizeof to);
            return size < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromSsize_t(size);
        }
    }
    return PyObject_Vectorcall(self->sendto, args, (size_t)count, NULL);
}

static PyObject *datagrams_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    PyObject *sock;
    if (named != NULL && PyDict_GET_SIZE(named)) {
        PyErr_SetString(PyExc_TypeError, "Datagrams(socket)");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O", &sock)) return NULL;
    PyObject *family = PyObject_GetAttrString(sock, "family");
    if (family == NULL) return NULL;
    long number = PyLong_AsLong(family);
    Py_DECREF(family);
    if (number == -1 && PyErr_Occurred()) return NULL;
    Datagrams *self = (Datagrams *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->is_ipv4 = number == AF_INET;
    self->fileno = PyObject_GetAttrString(sock, "fileno");
    self->sendto = PyObject_GetAttrString(sock, "sendto");
    if (self->fileno == NULL || self->sendto == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int datagrams_traverse(Datagrams *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->fileno);
    Py_VISIT(self->sendto);
    return 0;
}

static int datagrams_clear(Datagrams *self)
{
    Py_CLEAR(self->fileno);
    Py_CLEAR(self->sendto);
    return 0;
}

static void datagrams_dealloc(Datagrams *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    datagrams_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef datagrams_methods[] = {
    {"receive", (PyCFunction)(void (*)(void))datagrams_receive, METH_FASTCALL,
     "Append the datagrams that wait to a list, at most so many; return 0, or the error that ended it."},
    {"wait", (PyCFunction)datagrams_wait, METH_O,
     "Append the next datagram to a list, as long as the socket waits; return 0, or the error."},
    {"sendto", (PyCFunction)(void (*)(void))datagrams_sendto, METH_FASTCALL, "Send octets to an address; never wait."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot datagrams_slots[] = {
    {Py_tp_doc, "The datagrams of one socket; see udp.py."},
    {Py_tp_new, datagrams_new},
    {Py_tp_methods, datagrams_methods},
    {Py_tp_traverse, datagrams_traverse},
    {Py_tp_clear, datagrams_clear},
    {Py_tp_dealloc, datagrams_dealloc},
    {0, NULL},
};

static PyType_Spec datagrams_spec = {
    "sansip_sockets._udp.Datagrams", sizeof(Datagrams), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, datagrams_slots,
};

static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, "_udp", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__udp(void)
{
    PyObject *module = PyModule_Create(&module_def);
    if (module == NULL) return NULL;
    datagrams_type = (PyTypeObject *)PyType_FromSpec(&datagrams_spec);
    if (datagrams_type == NULL || PyModule_AddObjectRef(module, "Datagrams", (PyObject *)datagrams_type) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
