/* Where a whole message of a stream ends (RFC 3261 18.3): what framing.py finds by its pattern.
 *
 * Part of _head.c. Only what is plain: the head has one Content-Length, compact or not, of up to ten digits on its
 * line, and all of the message is there. Says -1 for all else, and framing.py looks again.
 */

/* Return where the number of a Content-Length begins whose field name is at p, NULL where the name is another. */
static const uint8_t *length_value(const uint8_t *p, const uint8_t *end)
{
    static const char name[] = "content-length";
    Py_ssize_t size = (p[0] | 0x20) == 'l' ? 1 : (Py_ssize_t)sizeof name - 1;
    if (size > 1) {
        if ((p[0] | 0x20) != 'c' || end - p <= size) return NULL;
        for (Py_ssize_t at = 1; at < size; at++)
            /* A hyphen has this bit, and what differs from it by the bit alone is no letter. */
            if ((p[at] | 0x20) != name[at] || (name[at] == '-' && p[at] != '-')) return NULL;
    }
    p += size;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    return p < end && *p == ':' ? p + 1 : NULL;
}

/* framed(data, begin, head_size, message_size): where the message that begins there ends, or -1. */
static PyObject *framing_framed(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 4 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "octets and three numbers");
        return NULL;
    }
    Py_ssize_t begin = PyLong_AsSsize_t(args[1]);
    Py_ssize_t most_head = PyLong_AsSsize_t(args[2]), most = PyLong_AsSsize_t(args[3]);
    if (PyErr_Occurred()) return NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    if (begin < 0 || begin >= size) return PyLong_FromLong(-1);
    const uint8_t *first = (const uint8_t *)PyBytes_AS_STRING(args[0]) + begin, *end = first + (size - begin);
    if (*first == '\r' || *first == '\n') return PyLong_FromLong(-1);
    long long length = -1;
    const uint8_t *line = first;
    for (;;) {
        const uint8_t *stop = memchr(line, '\n', (size_t)(end - line));
        if (stop == NULL) return PyLong_FromLong(-1);
        if (stop == first || stop[-1] != '\r') {
            /* A line does not end here. */
            line = stop + 1;
            continue;
        }
        line = stop + 1;
        if (line - first - 4 > most_head || end - line < 2) return PyLong_FromLong(-1);
        if (line[0] == '\r' && line[1] == '\n') break;
        const uint8_t *at = length_value(line, end);
        if (at == NULL) continue;
        if (length >= 0) return PyLong_FromLong(-1);
        while (at < end && (*at == ' ' || *at == '\t')) at++;
        length = 0;
        const uint8_t *digits = at;
        while (at < end && *at >= '0' && *at <= '9' && at - digits < 10) length = length * 10 + (*at++ - '0');
        if (at == digits) return PyLong_FromLong(-1);
        while (at < end && (*at == ' ' || *at == '\t')) at++;
        /* The number may go on in a folded line (RFC 3261 7.3.1). */
        if (end - at < 3 || at[0] != '\r' || at[1] != '\n' || at[2] == ' ' || at[2] == '\t') return PyLong_FromLong(-1);
    }
    Py_ssize_t head = line - first;
    if (length < 0 || head - 2 > most_head) return PyLong_FromLong(-1);
    long long whole = head + 2 + length;
    if (whole > most || whole > end - first) return PyLong_FromLong(-1);
    return PyLong_FromSsize_t(begin + (Py_ssize_t)whole);
}
