//! What only the store in a file does.
