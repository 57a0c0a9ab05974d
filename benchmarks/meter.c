/* Counts what noise cannot touch: allocations of the interpreter, and instructions under callgrind.
 *
 * Loaded by benchmarks/counts.py with ctypes. The allocators of the domains "mem" and "obj" are
 * wrapped by functions that count and pass on; "raw" is not, for it is not the interpreter's.
 */
#include <Python.h>
#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif

typedef struct {
    PyMemAllocatorEx inner;
} Wrapped;

static Wrapped wrapped_mem, wrapped_obj;
static unsigned long long allocations;

static void *counted_malloc(void *context, size_t size)
{
    PyMemAllocatorEx *inner = &((Wrapped *)context)->inner;
    allocations++;
    return inner->malloc(inner->ctx, size);
}

static void *counted_calloc(void *context, size_t number, size_t size)
{
    PyMemAllocatorEx *inner = &((Wrapped *)context)->inner;
    allocations++;
    return inner->calloc(inner->ctx, number, size);
}

static void *counted_realloc(void *context, void *old, size_t size)
{
    PyMemAllocatorEx *inner = &((Wrapped *)context)->inner;
    allocations++;
    return inner->realloc(inner->ctx, old, size);
}

static void passed_free(void *context, void *old)
{
    PyMemAllocatorEx *inner = &((Wrapped *)context)->inner;
    inner->free(inner->ctx, old);
}

static void wrap(PyMemAllocatorDomain domain, Wrapped *wrapped)
{
    PyMemAllocatorEx outer = {wrapped, counted_malloc, counted_calloc, counted_realloc, passed_free};
    PyMem_GetAllocator(domain, &wrapped->inner);
    PyMem_SetAllocator(domain, &outer);
}

static void unwrap(PyMemAllocatorDomain domain, Wrapped *wrapped)
{
    PyMem_SetAllocator(domain, &wrapped->inner);
}

void meter_begin(void)
{
    allocations = 0;
    wrap(PYMEM_DOMAIN_MEM, &wrapped_mem);
    wrap(PYMEM_DOMAIN_OBJ, &wrapped_obj);
}

unsigned long long meter_end(void)
{
    unsigned long long counted = allocations;
    unwrap(PYMEM_DOMAIN_OBJ, &wrapped_obj);
    unwrap(PYMEM_DOMAIN_MEM, &wrapped_mem);
    return counted;
}

#ifdef CALLGRIND_TOGGLE_COLLECT
int meter_has_callgrind(void) { return RUNNING_ON_VALGRIND != 0; }
void meter_instructions_begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; CALLGRIND_TOGGLE_COLLECT; }
void meter_instructions_end(const char *name) { CALLGRIND_TOGGLE_COLLECT; CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
#else
int meter_has_callgrind(void) { return 0; }
void meter_instructions_begin(void) {}
void meter_instructions_end(const char *name) { (void)name; }
#endif
