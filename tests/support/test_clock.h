// The monotonic clock of a thread that drives a loop (loop_driver.h): it stands still while the machine
// lets the thread stand still. Loop and peers are one thread there, so that nobody has done anything
// meanwhile: a time-out that fired after such a stop would tell of the machine and not of the program.
#pragma once

// From the driver's thread, at its begin and at its end. Weak: fuzz targets have the system's clock.
extern "C" [[gnu::weak]] void portunus_test_clock_drive(bool begins);
