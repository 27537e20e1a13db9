/* fuzz.h - what libFuzzer calls in each fuzzer; run as tests/fuzz/fuzz_NAME [-max_total_time=S]. */
#ifndef HERALD_TESTS_FUZZ_H
#define HERALD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len);

#endif
