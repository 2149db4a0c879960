//! What fits what.
//! The oracle is a matcher that tries everything.
