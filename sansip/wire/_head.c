/* The scanner of heads: one pass over the octets of a message, to an index of what a proxy reads.
 *
 * tests/wire/head_rules.py states the rules in Python. Both say yes to the same octets with the same index, and
 * only to what the reader (reader.py) says yes to: tests/wire/test_head.py proves it, under ASan and UBSan too.
 * For all else the answer is None, and the reader decides.
 *
 * Memory: a bytes object ends in a NUL that belongs to no class below, and every line of the head ends in a CR that
 * belongs to none either. So a run over a class ends at the end of its line at the latest, and nothing is read behind
 * the NUL. Nothing is written but the index. Time: each octet is looked at a fixed number of times.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Offsets and counts, see _head.pyi. An offset that is 0 stands for "not there". */
#define FIELDS(F) \
    F(status) F(method_end) F(uri) F(uri_end) F(user) F(user_end) F(host) F(host_end) F(port) \
    F(lines) F(end) F(body) F(fields) F(commas) F(longest) \
    F(via_line) F(via_line_end) F(via) F(via_end) F(via_transport) F(via_transport_end) \
    F(sent_by) F(sent_host_end) F(sent_by_end) F(sent_port) F(branch) F(branch_end) F(rport) F(via_lines) \
    F(from_line) F(from_line_end) F(from_uri) F(from_uri_end) F(from_tag) F(from_tag_end) \
    F(to_line) F(to_line_end) F(to_uri) F(to_uri_end) F(to_user) F(to_user_end) F(to_host) F(to_host_end) F(to_port) \
    F(to_tag) F(to_tag_end) \
    F(call_id_line) F(call_id_line_end) F(call_id) F(call_id_end) \
    F(cseq_line) F(cseq_line_end) F(cseq) F(cseq_method) F(cseq_method_end) \
    F(hops) F(hops_value) F(hops_value_end) \
    F(route_line) F(route_lines) F(record_route_line) F(contact_line) F(contact_lines) \
    F(require_line) F(proxy_require_line) F(max_breadth_line) F(expires_line) F(length_line)

typedef struct {
    PyObject_HEAD
#define DECLARE(name) int32_t name;
    FIELDS(DECLARE)
#undef DECLARE
} Index;

static PyTypeObject *index_type;

enum { TOKEN = 1, USER = 2, WORD = 4, DIGIT = 8, NAME = 16, PARAM = 32, BLANK = 64, TEXT = 128 };
static uint8_t classes[256];

static void fill_classes(void)
{
    for (int c = 0; c < 256; c++) {
        int alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        uint8_t bits = 0;
        if (alnum || (c && strchr("-.!%*_+`'~", c) && c < 128)) bits |= TOKEN;
        if (alnum || (c && strchr("_-.!~*'()&=+$,;?/", c) && c < 128)) bits |= USER;
        if (alnum || (c && strchr("-.!%*_+`'~()<>:\\\"/[]?{}", c) && c < 128)) bits |= WORD;
        if (c >= '0' && c <= '9') bits |= DIGIT;
        if (alnum || c == '_') bits |= NAME;
        if (alnum || (c && strchr("_-.!~*'()[]/:&+$", c) && c < 128)) bits |= PARAM;
        if (c == ' ' || c == '\t') bits |= BLANK;
        if ((c >= 32 && c != 127) || c == '\t') bits |= TEXT;
        classes[c] = bits;
    }
}

#define IS(octet, class) (classes[(octet)] & (class))
/* strncmp ends at the first difference and at the NUL, so it reads nothing behind it. */
#define STARTS(at, text) (!strncmp((const char *)(at), (text), sizeof(text) - 1))

/* Return the end of the run over `class` that begins at `at`. */
static inline Py_ssize_t run(const uint8_t *p, Py_ssize_t at, int class)
{
    while (IS(p[at], class)) at++;
    return at;
}

/* Return the end of a number of 1 to `most` digits at `at`, its value in `value`; -1: none, or too long. */
static inline Py_ssize_t number(const uint8_t *p, Py_ssize_t at, int most, int32_t *value)
{
    Py_ssize_t begin = at;
    int32_t sum = 0;
    while (IS(p[at], DIGIT) && at - begin <= most) sum = at - begin < most ? sum * 10 + (p[at] - '0') : sum, at++;
    if (at == begin || at - begin > most) return -1;
    *value = sum;
    return at;
}

/* A port: one to four digits, or five of which the first is no zero, up to 65535. */
static inline Py_ssize_t port_end(const uint8_t *p, Py_ssize_t at, int32_t *port)
{
    Py_ssize_t end = number(p, at, 5, port);
    if (end < 0 || (end - at == 5 && (p[at] == '0' || *port > 65535))) return -1;
    return end;
}

/* Four decimal octets without leading zeros that are all of [at, end). */
static int is_ipv4(const uint8_t *p, Py_ssize_t at, Py_ssize_t end)
{
    for (int part = 0; part < 4; part++) {
        int32_t value = 0;
        Py_ssize_t stop = number(p, at, 3, &value);
        if (stop < 0 || value > 255 || (stop - at > 1 && p[at] == '0')) return 0;
        at = stop;
        if (part < 3) {
            if (p[at] != '.') return 0;
            at++;
        }
    }
    return at == end;
}

/* Return the end of a host at `at`: an IPv4 address, or names joined by dots and hyphens, the last of which
 * begins with a letter and follows a dot. -1: another form. */
static Py_ssize_t host_end_of(const uint8_t *p, Py_ssize_t at)
{
    Py_ssize_t begin = at, last = at;
    for (;;) {
        Py_ssize_t stop = run(p, at, NAME);
        if (stop == at) return -1;
        last = at;
        at = stop;
        if (p[at] != '.' && p[at] != '-') break;
        at++;
    }
    if (IS(p[last], DIGIT)) return is_ipv4(p, begin, at) ? at : -1;
    if (last > begin && p[last - 1] == '-') return -1;
    return at;
}

/* Read "sip:" [user "@"] host [":" port] [";" one parameter] at `at`; return its end, -1: another form. */
static Py_ssize_t sip_uri(const uint8_t *p, Py_ssize_t at, int32_t *user, int32_t *user_end, int32_t *host,
                          int32_t *host_end, int32_t *port)
{
    if (!STARTS(p + at, "sip:")) return -1;
    at += 4;
    Py_ssize_t end = run(p, at, USER);
    if (p[end] == '@') {
        if (end == at) return -1;
        *user = (int32_t)at;
        *user_end = (int32_t)end;
        at = end + 1;
    }
    *host = (int32_t)at;
    end = host_end_of(p, at);
    if (end < 0) return -1;
    *host_end = (int32_t)end;
    *port = -1;
    if (p[end] == ':') {
        end = port_end(p, end + 1, port);
        if (end < 0) return -1;
    }
    if (p[end] == ';') {
        at = end + 1;
        end = run(p, at, PARAM);
        if (end == at) return -1;
        if (p[end] == '=') {
            at = end + 1;
            end = run(p, at, PARAM);
            if (end == at) return -1;
        }
    }
    return end;
}

/* Read [display] "<" uri ">" [";tag=" token], all of [at, end). */
static int address(const uint8_t *p, Py_ssize_t at, Py_ssize_t end, int32_t *uri, int32_t *uri_end, int32_t *parts,
                   int32_t *tag, int32_t *tag_end)
{
    if (p[at] == '"') {
        at++;
        while (p[at] != '"') {
            if (p[at] == '\\' || !IS(p[at], TEXT)) return 0;
            at++;
        }
        at = run(p, at + 1, BLANK);
    } else {
        at = run(p, at, TOKEN | BLANK);
    }
    if (p[at] != '<') return 0;
    *uri = (int32_t)++at;
    at = sip_uri(p, at, parts, parts + 1, parts + 2, parts + 3, parts + 4);
    if (at < 0 || p[at] != '>') return 0;
    *uri_end = (int32_t)at++;
    if (at == end) return 1;
    if (!STARTS(p + at, ";tag=")) return 0;
    *tag = (int32_t)(at + 5);
    at = run(p, at + 5, TOKEN);
    *tag_end = (int32_t)at;
    return at > *tag && at == end;
}

/* Read the first Via value of [at, end). */
static int via_value(const uint8_t *p, Py_ssize_t at, Py_ssize_t end, Index *x)
{
    x->via = (int32_t)at;
    if (!STARTS(p + at, "SIP/2.0/")) return 0;
    at += 8;
    x->via_transport = (int32_t)at;
    while (p[at] >= 'A' && p[at] <= 'Z') at++;
    x->via_transport_end = (int32_t)at;
    if (at == x->via_transport || p[at] != ' ') return 0;
    x->sent_by = (int32_t)++at;
    at = host_end_of(p, at);
    if (at < 0) return 0;
    x->sent_host_end = (int32_t)at;
    x->sent_port = -1;
    if (p[at] == ':') {
        at = port_end(p, at + 1, &x->sent_port);
        if (at < 0) return 0;
    }
    x->sent_by_end = (int32_t)at;
    int has_rport = 0, has_received = 0;
    while (p[at] == ';') {
        at++;
        if (STARTS(p + at, "branch=")) {
            if (x->branch) return 0;
            x->branch = (int32_t)(at + 7);
            at = run(p, at + 7, TOKEN);
            x->branch_end = (int32_t)at;
            if (at == x->branch) return 0;
        } else if (STARTS(p + at, "rport")) {
            if (has_rport++) return 0;
            at += 5;
            if (p[at] == '=') {
                int32_t ignored = 0;
                at = port_end(p, at + 1, &ignored);
                if (at < 0) return 0;
            } else {
                x->rport = (int32_t)at;
            }
        } else if (STARTS(p + at, "received=")) {
            if (has_received++) return 0;
            Py_ssize_t begin = at + 9;
            at = begin;
            while (IS(p[at], DIGIT) || p[at] == '.') at++;
            if (!is_ipv4(p, begin, at)) return 0;
        } else {
            return 0;
        }
    }
    x->via_end = (int32_t)at;
    if (at != end) {
        at = run(p, at, BLANK);
        if (p[at] != ',') return 0;
    }
    return x->branch != 0;
}

/* The names that are read; 0 is any other. */
enum { OTHER, VIA, FROM, TO, CALL_ID, CSEQ, MAX_FORWARDS, CONTENT_LENGTH, ROUTE, RECORD_ROUTE, CONTACT, REQUIRE,
       PROXY_REQUIRE, MAX_BREADTH, EXPIRES, PROXY_AUTHORIZATION, AUTHORIZATION, TIMESTAMP, NAMES };

/* Short ones come first. */
static const struct { const char *name; uint8_t length, which; } names[] = {
    {"v", 1, VIA}, {"f", 1, FROM}, {"t", 1, TO}, {"i", 1, CALL_ID}, {"l", 1, CONTENT_LENGTH}, {"m", 1, CONTACT},
    {"to", 2, TO}, {"via", 3, VIA}, {"from", 4, FROM}, {"cseq", 4, CSEQ}, {"route", 5, ROUTE}, {"call-id", 7, CALL_ID},
    {"contact", 7, CONTACT}, {"require", 7, REQUIRE}, {"expires", 7, EXPIRES}, {"timestamp", 9, TIMESTAMP},
    {"max-breadth", 11, MAX_BREADTH}, {"max-forwards", 12, MAX_FORWARDS}, {"record-route", 12, RECORD_ROUTE},
    {"authorization", 13, AUTHORIZATION}, {"proxy-require", 13, PROXY_REQUIRE}, {"content-length", 14, CONTENT_LENGTH},
    {"proxy-authorization", 19, PROXY_AUTHORIZATION},
};
enum { LONGEST_NAME = 19, KNOWN_NAMES = sizeof names / sizeof *names };
/* Where in `names` those of each length begin. */
static uint8_t names_from[LONGEST_NAME + 2];

static void fill_names(void)
{
    uint8_t at = 0;
    for (uint8_t length = 0; length < LONGEST_NAME + 2; length++) {
        while (at < KNOWN_NAMES && names[at].length < length) at++;
        names_from[length] = at;
    }
}

/* Return which name the token of `length` octets at `p` is. */
static int which_name(const uint8_t *p, Py_ssize_t length)
{
    if (length > LONGEST_NAME) return OTHER;
    for (int at = names_from[length]; at < names_from[length + 1]; at++) {
        if ((p[0] | 32) != (uint8_t)names[at].name[0]) continue;
        Py_ssize_t same = 1;
        /* Of the octets of a token this makes small letters of capitals, and no letter or hyphen of another. */
        while (same < length && (p[same] | 32) == (uint8_t)names[at].name[same]) same++;
        if (same == length) return names[at].which;
    }
    return OTHER;
}

#define BIT(which) (1u << (which))

/* Where the last line of a field stands, without its end, and how many there are. */
typedef struct {
    int32_t begin, end, count;
} Line;

/* How the lines of a head have to be spelled: those of `taken` as usual, those of `refused` are not there at all, and
 * no octet is above 127. `lines`: where those of `taken` stand. */
typedef struct {
    unsigned taken, refused;
    Line lines[NAMES];
} Spelling;

/* The usual spellings, by what they are. */
#define NAME_OF(text) {text, sizeof text - 1}
static const struct { const char *text; uint8_t length; } usual[NAMES] = {
    [VIA] = NAME_OF("Via"), [FROM] = NAME_OF("From"), [TO] = NAME_OF("To"), [CALL_ID] = NAME_OF("Call-ID"),
    [CSEQ] = NAME_OF("CSeq"), [MAX_FORWARDS] = NAME_OF("Max-Forwards"), [CONTENT_LENGTH] = NAME_OF("Content-Length"),
    [ROUTE] = NAME_OF("Route"), [RECORD_ROUTE] = NAME_OF("Record-Route"), [CONTACT] = NAME_OF("Contact"),
    [PROXY_AUTHORIZATION] = NAME_OF("Proxy-Authorization"),
};

/* Note a line of the field `which`, whose name ends at `colon`; return 0 where it is spelled in another way. */
static inline int spelled(const uint8_t *p, Py_ssize_t begin, Py_ssize_t colon, Py_ssize_t end, int which, Spelling *how)
{
    if (BIT(which) & how->refused) return 0;
    if (!(BIT(which) & how->taken)) return 1;
    Line *line = &how->lines[which];
    if (usual[which].length != colon - begin || memcmp(p + begin, usual[which].text, usual[which].length)) return 0;
    if (which != CONTENT_LENGTH && p[colon + 1] != ' ') return 0;
    /* Values of ours stand one below the other: they are one text. */
    if (which != RECORD_ROUTE || !line->count || line->end + 2 != begin) {
        line->begin = (int32_t)begin;
        line->count++;
    }
    line->end = (int32_t)end;
    return 1;
}

#ifdef __SSE2__
/* Return which of the 16 octets at `p` are no text, above 127, or a comma, a bit for each. */
static inline unsigned marked(const uint8_t *p)
{
    __m128i octets = _mm_loadu_si128((const __m128i *)p);
    /* As signed numbers those above 127 are below a space, too. */
    __m128i odd = _mm_cmplt_epi8(octets, _mm_set1_epi8(' '));
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(octets, _mm_set1_epi8(127)));
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(octets, _mm_set1_epi8(',')));
    return (unsigned)_mm_movemask_epi8(odd);
}
/* Octets to look at before the next sixteen: the one that is marked. */
enum { LOOKED_AT = 1 };
#else
enum { LOOKED_AT = 8 };
#endif

/* Return the end of the text at `at`. `commas` grows by those in it, `octets` gets the bits that are set in some. */
static inline Py_ssize_t text_end(const uint8_t *p, Py_ssize_t at, Py_ssize_t size, int32_t *commas, uint8_t *octets)
{
    for (;;) {
#ifdef __SSE2__
        if (size - at >= 16) {
            unsigned odd = marked(p + at);
            if (!odd) {
                at += 16;
                continue;
            }
            at += __builtin_ctz(odd);
        }
#else
        const uint64_t ones = 0x0101010101010101u;
        uint64_t eight;
        if (size - at >= 8) {
            memcpy(&eight, p + at, 8);
            /* An octet above 127, below a space, a DEL or a comma has its first bit set here, and a neighbour of it
             * may have. */
            if (!((eight | (eight - 32 * ones) | ((eight ^ 127 * ones) - ones) | ((eight ^ ',' * ones) - ones))
                  & 128 * ones)) {
                at += 8;
                continue;
            }
        }
#endif
        for (int one = 0; one < LOOKED_AT; one++, at++) {
            if (!IS(p[at], TEXT)) return at;
            *commas += p[at] == ',';
            *octets |= p[at];
        }
    }
}

/* Fill the index of the message in `p`, of `size` octets; return 0 where it is not in the ordinary form, or its lines
 * are not as `how` (NULL: in any way) says. */
static int scan(const uint8_t *p, Py_ssize_t size, Index *x, Spelling *how)
{
    const uint8_t *found;
    Py_ssize_t at = 0, end, line_end;
    int32_t length = -1, ignored[5];
    uint8_t octets = 0;
    x->hops = -1;
    x->port = x->sent_port = x->to_port = -1;
    if (size > INT32_MAX - 8) return 0;
    found = memchr(p, '\r', (size_t)size);
    if (found == NULL || found == p) return 0;
    line_end = found - p;
    if (p[line_end + 1] != '\n') return 0;
    /* The start line. */
    if (line_end >= 12 && STARTS(p, "SIP/2.0 ")) {
        int32_t status = 0;
        if (number(p, 8, 3, &status) != 11 || p[11] != ' ' || status < 100 || status > 699) return 0;
        x->status = status;
    } else {
        at = run(p, 0, TOKEN);
        if (at == 0 || p[at] != ' ') return 0;
        x->method_end = (int32_t)at++;
        x->uri = (int32_t)at;
        at = sip_uri(p, at, &x->user, &x->user_end, &x->host, &x->host_end, &x->port);
        if (at < 0 || line_end - at != 8 || !STARTS(p + at, " SIP/2.0")) return 0;
        x->uri_end = (int32_t)at;
    }
    if (text_end(p, 0, size, &x->commas, &octets) != line_end) return 0;
    at = line_end + 2;
    x->lines = (int32_t)at;
    for (;;) {
        /* A line begins at `at`; behind the last one stands the empty line. */
        if (p[at] == '\r') {
            if (p[at + 1] != '\n') return 0;
            break;
        }
        Py_ssize_t begin = at;
        at = run(p, at, TOKEN);
        if (at == begin || p[at] != ':') return 0;
        int which = which_name(p + begin, at - begin);
        Py_ssize_t value = run(p, at + 1, BLANK);
        line_end = text_end(p, at, size, &x->commas, &octets);
        /* Not at the NUL behind the octets: a head has its end. */
        if (p[line_end] != '\r' || p[line_end + 1] != '\n') return 0;
        if (how != NULL && !spelled(p, begin, at, line_end, which, how)) return 0;
        at = line_end + 2;
        x->fields++;
        if (line_end - begin > x->longest) x->longest = (int32_t)(line_end - begin);
        switch (which) {
        case VIA:
            if (x->via_lines++) break;
            x->via_line = (int32_t)begin;
            x->via_line_end = (int32_t)at;
            if (!via_value(p, value, line_end, x)) return 0;
            break;
        case FROM:
            if (x->from_line) return 0;
            x->from_line = (int32_t)begin;
            x->from_line_end = (int32_t)at;
            if (!address(p, value, line_end, &x->from_uri, &x->from_uri_end, ignored, &x->from_tag, &x->from_tag_end))
                return 0;
            break;
        case TO:
            if (x->to_line) return 0;
            x->to_line = (int32_t)begin;
            x->to_line_end = (int32_t)at;
            memset(ignored, 0, sizeof ignored);
            if (!address(p, value, line_end, &x->to_uri, &x->to_uri_end, ignored, &x->to_tag, &x->to_tag_end)) return 0;
            x->to_user = ignored[0];
            x->to_user_end = ignored[1];
            x->to_host = ignored[2];
            x->to_host_end = ignored[3];
            x->to_port = ignored[4];
            break;
        case CALL_ID: {
            if (x->call_id_line) return 0;
            x->call_id_line = (int32_t)begin;
            x->call_id_line_end = (int32_t)at;
            x->call_id = (int32_t)value;
            x->call_id_end = (int32_t)line_end;
            Py_ssize_t stop = run(p, value, WORD);
            if (stop == value) return 0;
            if (p[stop] == '@') {
                Py_ssize_t behind = run(p, stop + 1, WORD);
                if (behind == stop + 1) return 0;
                stop = behind;
            }
            if (stop != line_end) return 0;
            break;
        }
        case CSEQ: {
            if (x->cseq_line) return 0;
            x->cseq_line = (int32_t)begin;
            x->cseq_line_end = (int32_t)at;
            Py_ssize_t stop = number(p, value, 9, &x->cseq);
            if (stop < 0 || !IS(p[stop], BLANK)) return 0;
            stop = run(p, stop, BLANK);
            x->cseq_method = (int32_t)stop;
            stop = run(p, stop, TOKEN);
            x->cseq_method_end = (int32_t)stop;
            if (stop == x->cseq_method || stop != line_end) return 0;
            if (!x->status
                && (stop - x->cseq_method != x->method_end || memcmp(p + x->cseq_method, p, (size_t)x->method_end)))
                return 0;
            break;
        }
        case MAX_FORWARDS:
            if (x->hops >= 0 || number(p, value, 3, &x->hops) != line_end || x->hops > 255) return 0;
            x->hops_value = (int32_t)value;
            x->hops_value_end = (int32_t)line_end;
            break;
        case CONTENT_LENGTH:
            if (length >= 0 || number(p, value, 9, &length) != line_end) return 0;
            x->length_line = (int32_t)begin;
            break;
        case ROUTE:
            if (!x->route_lines++) x->route_line = (int32_t)begin;
            break;
        case RECORD_ROUTE:
            if (!x->record_route_line) x->record_route_line = (int32_t)begin;
            break;
        case CONTACT:
            if (!x->contact_lines++) x->contact_line = (int32_t)begin;
            break;
        case REQUIRE:
            if (!x->require_line) x->require_line = (int32_t)begin;
            break;
        case PROXY_REQUIRE:
            if (!x->proxy_require_line) x->proxy_require_line = (int32_t)begin;
            break;
        case MAX_BREADTH:
            if (!x->max_breadth_line) x->max_breadth_line = (int32_t)begin;
            break;
        case EXPIRES:
            if (!x->expires_line) x->expires_line = (int32_t)begin;
            break;
        default:
            break;
        }
    }
    end = at - 2;
    x->end = (int32_t)end;
    x->body = (int32_t)(at + 2);
    if (at + 2 > size || (how != NULL && octets > 127)) return 0;
    if (!x->via_line || !x->from_line || !x->to_line || !x->call_id_line || !x->cseq_line) return 0;
    return length < 0 || length == size - x->body;
}

static PyObject *head_scan(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "scan takes bytes");
        return NULL;
    }
    Index *index = PyObject_New(Index, index_type);
    if (index == NULL) return NULL;
    memset((char *)index + offsetof(Index, status), 0, sizeof(Index) - offsetof(Index, status));
    if (!scan((const uint8_t *)PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), index, NULL)) {
        Py_DECREF(index);
        Py_RETURN_NONE;
    }
    return (PyObject *)index;
}

/* Return the key of a header field, whose name is `length` octets at `p`: header_key of names.py. */
static PyObject *key_of(const char *p, Py_ssize_t length, PyObject *spellings)
{
    PyObject *name = PyUnicode_FromStringAndSize(p, length);
    if (name == NULL) return NULL;
    PyObject *key = PyDict_GetItemWithError(spellings, name);
    if (key == NULL && !PyErr_Occurred()) {
        PyObject *lower = PyObject_CallMethod(name, "lower", NULL);
        Py_DECREF(name);
        if (lower == NULL) return NULL;
        key = PyDict_GetItemWithError(spellings, lower);
        if (key == NULL) return PyErr_Occurred() ? (Py_DECREF(lower), NULL) : lower;
        Py_INCREF(key);
        Py_DECREF(lower);
        return key;
    }
    Py_XINCREF(key);
    Py_DECREF(name);
    return key;
}

/* --- read: all that a message is made of, in one call */

/* Keys of the names above, by what they are. */
static const char *const key_texts[] = {
    NULL, "via", "from", "to", "call-id", "cseq", "max-forwards", "content-length", "route", "record-route", "contact",
    "require", "proxy-require", "max-breadth", "expires", "proxy-authorization", "authorization", "timestamp",
};
_Static_assert(sizeof key_texts / sizeof *key_texts == NAMES, "each name has its key");
static PyObject *known_keys[sizeof key_texts / sizeof *key_texts];

static inline PyObject *ascii(const uint8_t *p, Py_ssize_t begin, Py_ssize_t end)
{
    /* These octets are in the classes above, or scan() has seen none above 127 in the head. */
    PyObject *text = PyUnicode_New(end - begin, 127);
    if (text != NULL) memcpy(PyUnicode_1BYTE_DATA(text), p + begin, (size_t)(end - begin));
    return text;
}

/* Fill `keys`, `lines` and `first` with the header lines of `x`, which scan() has accepted; return 0 on an error. */
static int take_lines(const uint8_t *p, const Index *x, PyObject *spellings, PyObject *keys, PyObject *lines,
                      PyObject *first)
{
    Py_ssize_t at = x->lines;
    for (int32_t number = 0; number < x->fields; number++) {
        Py_ssize_t colon = run(p, at, TOKEN);
        const uint8_t *stop = memchr(p + colon, '\r', (size_t)(x->end + 2 - colon));
        int which = which_name(p + at, colon - at);
        PyObject *key;
        if (which == OTHER)
            key = key_of((const char *)p + at, colon - at, spellings);
        else
            key = Py_NewRef(known_keys[which]);
        if (key == NULL) return 0;
        PyList_SET_ITEM(keys, number, key);
        PyObject *line = PyUnicode_DecodeUTF8((const char *)p + at, stop - (p + at), "surrogateescape");
        if (line == NULL) return 0;
        PyList_SET_ITEM(lines, number, line);
        if (PyDict_SetDefault(first, key, line) == NULL) return 0;
        at = stop - p + 2;
    }
    return 1;
}

/* Put `items`, of which none may be NULL, into a tuple; on an error let go of them all. */
static PyObject *tuple_of(PyObject **items, Py_ssize_t count)
{
    PyObject *tuple = NULL;
    Py_ssize_t at = 0;
    while (at < count && items[at] != NULL) at++;
    if (at == count) tuple = PyTuple_New(count);
    for (at = 0; at < count; at++) {
        if (tuple != NULL)
            PyTuple_SET_ITEM(tuple, at, items[at]);
        else
            Py_XDECREF(items[at]);
    }
    return tuple;
}

/* read(data, spellings): see _head.pyi. */
static PyObject *head_read(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(given[0]) || !PyDict_CheckExact(given[1])) {
        PyErr_SetString(PyExc_TypeError, "read takes bytes and a dict");
        return NULL;
    }
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(given[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(given[0]);
    Index x;
    memset(&x, 0, sizeof x);
    if (!scan(p, size, &x, NULL)) Py_RETURN_NONE;
    PyObject *keys = PyList_New(x.fields), *lines = PyList_New(x.fields), *first = PyDict_New();
    if (keys == NULL || lines == NULL || first == NULL || !take_lines(p, &x, given[1], keys, lines, first)) {
        Py_XDECREF(keys);
        Py_XDECREF(lines);
        Py_XDECREF(first);
        return NULL;
    }
    PyObject *items[21] = {keys, lines, first};
    int at = 3;
    items[at++] = PyLong_FromLong(x.status);
    if (x.status) {
        items[at++] = PyUnicode_DecodeUTF8((const char *)p + 12, x.lines - 2 - 12, "surrogateescape");
        for (int more = 0; more < 6; more++) items[at++] = Py_NewRef(Py_None);
    } else {
        const uint8_t *params = memchr(p + x.host_end, ';', (size_t)(x.uri_end - x.host_end));
        items[at++] = ascii(p, 0, x.method_end);
        items[at++] = ascii(p, x.uri, x.uri_end);
        items[at++] = x.user ? ascii(p, x.user, x.user_end) : Py_NewRef(Py_None);
        items[at++] = ascii(p, x.host, x.host_end);
        items[at++] = x.port < 0 ? Py_NewRef(Py_None) : PyUnicode_FromFormat("%d", (int)x.port);
        items[at++] = params == NULL ? PyUnicode_New(0, 0) : ascii(p, params - p, x.uri_end);
        items[at++] = PyLong_FromLong(x.uri_end - x.uri);
    }
    items[at++] = ascii(p, x.call_id, x.call_id_end);
    items[at++] = PyLong_FromLong(x.cseq);
    items[at++] = ascii(p, x.cseq_method, x.cseq_method_end);
    items[at++] = PyBytes_FromStringAndSize((const char *)p + x.body, size - x.body);
    items[at++] = PyLong_FromLong(x.fields + x.commas);
    items[at++] = PyLong_FromLong(x.end);
    items[at++] = PyLong_FromLong(x.longest);
    items[at++] = PyBool_FromLong(x.length_line != 0);
    return tuple_of(items, at);
}

/* Write `value`, from its last digit before `end`; return where it begins. */
static char *digits_before(char *end, unsigned long value)
{
    do *--end = (char)('0' + value % 10);
    while (value /= 10);
    return end;
}

/* --- brief: what an answer to a plain OPTIONS or REGISTER needs; see brief.py */

/* The values of a contact, of [at, end): [display] "<" uri ">" [";expires=" digits]. */
typedef struct {
    int32_t uri, uri_end, parts[5], expires, expires_end;
} Contact;

static int contact_value(const uint8_t *p, Py_ssize_t at, Py_ssize_t end, Contact *c)
{
    int32_t ignored;
    if (p[at] == '"') {
        at++;
        while (p[at] != '"') {
            if (p[at] == '\\' || !IS(p[at], TEXT)) return 0;
            at++;
        }
        at = run(p, at + 1, BLANK);
    } else {
        at = run(p, at, TOKEN | BLANK);
    }
    if (p[at] != '<') return 0;
    c->uri = (int32_t)++at;
    at = sip_uri(p, at, c->parts, c->parts + 1, c->parts + 2, c->parts + 3, c->parts + 4);
    if (at < 0 || p[at] != '>') return 0;
    c->uri_end = (int32_t)at++;
    if (at == end) return 1;
    if (!STARTS(p + at, ";expires=")) return 0;
    c->expires = (int32_t)(at + 9);
    at = number(p, at + 9, 9, &ignored);
    c->expires_end = (int32_t)at;
    return at == end;
}

static inline PyObject *text_or_none(const uint8_t *p, Py_ssize_t begin, Py_ssize_t end)
{
    return begin ? ascii(p, begin, end) : Py_NewRef(Py_None);
}

/* A host as it is compared, in small letters. */
static PyObject *host_text(const uint8_t *p, Py_ssize_t begin, Py_ssize_t end)
{
    PyObject *text = ascii(p, begin, end);
    if (text == NULL) return NULL;
    uint8_t *out = PyUnicode_1BYTE_DATA(text);
    for (Py_ssize_t at = 0; at < end - begin; at++)
        if (out[at] >= 'A' && out[at] <= 'Z') out[at] |= 32;
    return text;
}

static inline PyObject *port_number(int32_t port)
{
    return port < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(port);
}

/* The digits of a port that begin behind the host's end and the colon, if there is one. */
static PyObject *port_text(const uint8_t *p, Py_ssize_t host_end, int32_t port)
{
    if (port < 0) Py_RETURN_NONE;
    return ascii(p, host_end + 1, run(p, host_end + 1, DIGIT));
}

static inline PyObject *line_text(const uint8_t *p, Py_ssize_t begin, Py_ssize_t end)
{
    return PyUnicode_DecodeUTF8((const char *)p + begin, end - 2 - begin, "surrogateescape");
}

/* Find the further fields that a Brief has; return 0 where one stands twice, or one by which others decide is there. */
static int further_fields(const uint8_t *p, const Index *x, Py_ssize_t *found)
{
    static const struct { const char *name; uint8_t length, slot; } further[] = {
        {"expires", 7, 0}, {"user-agent", 10, 1}, {"supported", 9, 2}, {"k", 1, 2}, {"path", 4, 3},
    };
    Py_ssize_t at = x->lines;
    for (int32_t number = 0; number < x->fields; number++) {
        Py_ssize_t colon = run(p, at, TOKEN);
        const uint8_t *stop = memchr(p + colon, '\r', (size_t)(x->end + 2 - colon));
        for (size_t one = 0; one < sizeof further / sizeof *further; one++) {
            if (further[one].length != colon - at) continue;
            Py_ssize_t same = 0;
            while (same < colon - at) {
                uint8_t octet = p[at + same];
                if (octet >= 'A' && octet <= 'Z') octet |= 32;
                if (octet != (uint8_t)further[one].name[same]) break;
                same++;
            }
            if (same < colon - at) continue;
            Py_ssize_t *slot = found + 2 * further[one].slot;
            if (further[one].slot == 3 || *slot) return 0;
            slot[0] = colon + 1;
            slot[1] = stop - p;
        }
        at = stop - p + 2;
    }
    return 1;
}

static PyObject *sent_by_text(const uint8_t *p, const Index *x, int is_key);

static PyObject *head_brief(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "brief takes bytes");
        return NULL;
    }
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    Index x;
    memset(&x, 0, sizeof x);
    if (!scan(p, size, &x, NULL) || x.status || x.body != size || !x.length_line) Py_RETURN_NONE;
    if (!(x.method_end == 7 && STARTS(p, "OPTIONS")) && !(x.method_end == 8 && STARTS(p, "REGISTER"))) Py_RETURN_NONE;
    int32_t after_branch = x.branch_end - x.branch;
    if (x.via_lines != 1 || x.to_tag || x.hops == 0 || x.route_lines || x.require_line || x.proxy_require_line
        || x.contact_lines > 1 || p[x.via_end] != '\r' || after_branch < 8 || !STARTS(p + x.branch, "z9hG4bK")
        /* No other parameters in Via than the branch and the flag. */
        || x.via_end - x.sent_by_end != 8 + after_branch + (x.rport ? 6 : 0)
        || memchr(p + x.host_end, ';', (size_t)(x.uri_end - x.host_end)) != NULL)
        Py_RETURN_NONE;
    for (Py_ssize_t at = x.to_user; at < x.to_user_end; at++)
        if (!IS(p[at], NAME) && p[at] != '-' && p[at] != '.' && p[at] != '+') Py_RETURN_NONE;
    Py_ssize_t found[8] = {0};
    if (!further_fields(p, &x, found)) Py_RETURN_NONE;
    Contact contact = {0};
    Py_ssize_t contact_end = 0, contact_params = 0;
    contact.parts[4] = -1;
    if (x.contact_line) {
        contact_end = (const uint8_t *)memchr(p + x.contact_line, '\r', (size_t)(x.end + 2 - x.contact_line)) - p;
        Py_ssize_t value = run(p, run(p, x.contact_line, TOKEN) + 1, BLANK);
        if (!contact_value(p, value, contact_end, &contact)) Py_RETURN_NONE;
        const uint8_t *params = memchr(p + contact.parts[3], ';', (size_t)(contact.uri_end - contact.parts[3]));
        contact_params = params == NULL ? contact.uri_end : params - p;
    }
    if (found[0]) {
        int32_t ignored;
        found[0] = run(p, found[0], BLANK);
        if (number(p, found[0], 9, &ignored) != found[1]) Py_RETURN_NONE;
    }
    /* The URI of From has been read without its parts. */
    int32_t from[5] = {0, 0, 0, 0, -1};
    sip_uri(p, x.from_uri, from, from + 1, from + 2, from + 3, from + 4);
    int behind = x.rport > x.branch;
    PyObject *items[34];
    int at = 0;
    items[at++] = ascii(p, 0, x.method_end);
    items[at++] = text_or_none(p, x.user, x.user_end);
    items[at++] = ascii(p, x.host, x.host_end);
    items[at++] = port_text(p, x.host_end, x.port);
    int via = at;
    items[at++] = line_text(p, x.via_line, x.via_line_end);
    items[at++] = ascii(p, x.sent_by, x.sent_host_end);
    items[at++] = port_text(p, x.sent_host_end, x.sent_port);
    items[at++] = x.rport && !behind ? PyUnicode_FromString(";rport") : Py_NewRef(Py_None);
    items[at++] = ascii(p, x.branch, x.branch_end);
    items[at++] = x.rport && behind ? PyUnicode_FromString(";rport") : Py_NewRef(Py_None);
    int sender = at;
    items[at++] = line_text(p, x.from_line, x.from_line_end);
    items[at++] = ascii(p, from[2], from[3]);
    int to = at;
    items[at++] = line_text(p, x.to_line, x.to_line_end);
    items[at++] = text_or_none(p, x.to_user, x.to_user_end);
    items[at++] = ascii(p, x.to_host, x.to_host_end);
    items[at++] = port_text(p, x.to_host_end, x.to_port);
    int call_id = at;
    items[at++] = line_text(p, x.call_id_line, x.call_id_line_end);
    items[at++] = ascii(p, x.call_id, x.call_id_end);
    int cseq = at;
    items[at++] = line_text(p, x.cseq_line, x.cseq_line_end);
    Py_ssize_t digits = run(p, run(p, x.cseq_line, TOKEN) + 1, BLANK);
    items[at++] = ascii(p, digits, run(p, digits, DIGIT));
    if (x.contact_line) {
        items[at++] = line_text(p, x.contact_line, contact_end + 2);
        items[at++] = ascii(p, contact.uri, contact.uri_end);
        items[at++] = text_or_none(p, contact.parts[0], contact.parts[1]);
        items[at++] = ascii(p, contact.parts[2], contact.parts[3]);
        items[at++] = port_text(p, contact.parts[3], contact.parts[4]);
        items[at++] = ascii(p, contact_params, contact.uri_end);
        items[at++] = text_or_none(p, contact.expires, contact.expires_end);
    } else {
        for (int more = 0; more < 7; more++) items[at++] = Py_NewRef(Py_None);
    }
    items[at++] = text_or_none(p, found[0], found[1]);
    items[at++] = Py_NewRef(Py_True);
    items[at++] = found[2] ? line_text(p, found[2], found[3] + 2) : Py_NewRef(Py_None);
    items[at++] = found[4] ? line_text(p, found[4], found[5] + 2) : Py_NewRef(Py_None);
    items[at++] = sent_by_text(p, &x, 0);
    items[at++] = sent_by_text(p, &x, 1);
    /* The lines that an answer copies, in the order of the request. */
    int32_t starts[5] = {x.via_line, x.from_line, x.to_line, x.call_id_line, x.cseq_line};
    int order[5] = {via, sender, to, call_id, cseq};
    for (int one = 1; one < 5; one++)
        for (int other = one; other > 0 && starts[other - 1] > starts[other]; other--) {
            int32_t start = starts[other];
            int item = order[other];
            starts[other] = starts[other - 1], order[other] = order[other - 1];
            starts[other - 1] = start, order[other - 1] = item;
        }
    PyObject *copied[5];
    for (int one = 0; one < 5; one++) copied[one] = Py_XNewRef(items[order[one]]);
    PyObject *result[3] = {tuple_of(items, at), tuple_of(copied, 5), PyLong_FromLong(x.fields + x.commas)};
    return tuple_of(result, 3);
}

#include "_octets.h"
#include "_usage.h"
#include "_leaving.h"
#include "_cut.h"
#include "_framing.h"

static PyMemberDef index_members[] = {
#define MEMBER(name) {#name, T_INT, offsetof(Index, name), READONLY, NULL},
    FIELDS(MEMBER)
#undef MEMBER
    {NULL, 0, 0, 0, NULL},
};

static void index_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot index_slots[] = {
    {Py_tp_members, index_members},
    {Py_tp_dealloc, index_dealloc},
    {Py_tp_doc, "Where in a message stands what a proxy reads; see _head.pyi."},
    {0, NULL},
};

static PyType_Spec index_spec = {
    "sansip.wire._head.Index", sizeof(Index), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, index_slots,
};

/* Whether `name`, in lower case, stands at `p` in any case, and blanks or none, and a colon behind it. */
static int is_field(const uint8_t *p, const uint8_t *end, const char *name)
{
    for (; *name; p++, name++)
        if (p == end || (*p >= 'A' && *p <= 'Z' ? *p + 32 : *p) != (uint8_t)*name) return 0;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    return p < end && *p == ':';
}

/* Whether a message has fields of session timers (RFC 4028); what looks so in its body counts. */
static PyObject *head_timed(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "octets are bytes");
        return NULL;
    }
    const uint8_t *p = (const uint8_t *)PyBytes_AS_STRING(data), *end = p + PyBytes_GET_SIZE(data);
    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        p++;
        /* A bytes object ends in a NUL, which may be read. */
        switch (*p) {
        case 's': case 'S': if (is_field(p, end, "session-expires")) Py_RETURN_TRUE; break;
        case 'm': case 'M': if (is_field(p, end, "min-se")) Py_RETURN_TRUE; break;
        case 'x': case 'X': if (is_field(p, end, "x")) Py_RETURN_TRUE;
        }
    }
    Py_RETURN_FALSE;
}

static PyMethodDef methods[] = {
    {"scan", head_scan, METH_O, "Return the Index of a message in the ordinary form, or None."},
    {"read", (PyCFunction)(void (*)(void))head_read, METH_FASTCALL,
     "Return the parts of a message in the ordinary form, or None."},
    {"brief", head_brief, METH_O, "Return the parts of a plain OPTIONS or REGISTER, or None."},
    {"echo", head_echo, METH_O, "Return the parts of a plain response, or None."},
    {"passing", head_passing, METH_O, "Return the parts of a plain request of a dialog, or None."},
    {"opening", head_opening, METH_O, "Return the parts of a plain INVITE, or None."},
    {"ending", head_ending, METH_O, "Return the parts of a plain ACK, or None."},
    {"usage", head_usage, METH_O, "Return the parts of a plain SUBSCRIBE, PUBLISH or MESSAGE, or None."},
    {"spliced", (PyCFunction)(void (*)(void))leaving_spliced, METH_FASTCALL, "Return octets, some of them replaced."},
    {"text_hash", (PyCFunction)(void (*)(void))leaving_text_hash, METH_FASTCALL, "Return the CRC-32 of texts."},
    {"echo_cut", cut_echo, METH_O, "Return the parts of a plain response, its Cut among them, or None."},
    {"passing_cut", cut_passing, METH_O, "Return the parts of a plain request of a dialog, or None."},
    {"opening_cut", cut_opening, METH_O, "Return the parts of a plain INVITE, or None."},
    {"cut_text", (PyCFunction)(void (*)(void))cut_text, METH_FASTCALL, "Return a text of a Cut, or None."},
    {"cut_repeats", (PyCFunction)(void (*)(void))cut_repeats, METH_FASTCALL, "Return the tag of To, or False."},
    {"cut_returned", (PyCFunction)(void (*)(void))cut_returned, METH_FASTCALL, "Return a response without its Via."},
    {"cut_answered", (PyCFunction)(void (*)(void))cut_answered, METH_FASTCALL, "Return an answer to an INVITE."},
    {"cut_passed", (PyCFunction)(void (*)(void))cut_passed, METH_FASTCALL, "Return a request as it goes on."},
    {"cut_opened", (PyCFunction)(void (*)(void))cut_opened, METH_FASTCALL, "Return an INVITE as it goes on."},
    {"timed", head_timed, METH_O, "Whether a message has fields of session timers."},
    {"noted", (PyCFunction)(void (*)(void))leaving_noted, METH_FASTCALL, "Return a Via line with its source."},
    {"framed", (PyCFunction)(void (*)(void))framing_framed, METH_FASTCALL, "Return where a message of a stream ends, or -1."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, "_head", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__head(void)
{
    fill_classes();
    fill_names();
    fill_joins();
    fill_crcs();
    if (!fill_usages()) return NULL;
    for (size_t which = 1; which < sizeof key_texts / sizeof *key_texts; which++) {
        known_keys[which] = PyUnicode_InternFromString(key_texts[which]);
        if (known_keys[which] == NULL) return NULL;
    }
    PyObject *module = PyModule_Create(&module_def);
    if (module == NULL || PyType_Ready(&cut_type) < 0) return NULL;
    index_type = (PyTypeObject *)PyType_FromSpec(&index_spec);
    if (index_type == NULL || PyModule_AddObjectRef(module, "Index", (PyObject *)index_type) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
