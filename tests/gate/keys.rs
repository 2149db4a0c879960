//! Keys over time (R24-R27).
