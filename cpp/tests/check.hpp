#pragma once

#include <cstdio>
#include <string>

/// Counts and prints what does not hold; `main` returns `vpp::test::failures()`.
#define CHECK(condition) vpp::test::check((condition), #condition, __FILE__, __LINE__)

/// That `statement` throws an `Exception` whose message holds `text`.
#define CHECK_THROWS(statement, Exception, text)                                                                       \
    do {                                                                                                               \
        std::string message = "nothing";                                                                               \
        try {                                                                                                          \
            statement;                                                                                                 \
        } catch (const Exception& error) {                                                                             \
            message = error.what();                                                                                    \
        }                                                                                                              \
        vpp::test::check(message.find(text) != std::string::npos, (#statement " threw: " + message).c_str(), __FILE__, \
                         __LINE__);                                                                                    \
    } while (false)

namespace vpp::test {

inline int& failures() {
    static int count = 0;
    return count;
}

inline void check(bool holds, const char* what, const char* file, int line) {
    if (!holds) {
        std::fprintf(stderr, "%s:%d: %s\n", file, line, what);
        ++failures();
    }
}

}  // namespace vpp::test
