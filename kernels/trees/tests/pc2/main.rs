//! PC2 against a slow builder of its own, over every small shape, and what it does with bad input.

mod faults;
mod large;
mod small;
mod support;
