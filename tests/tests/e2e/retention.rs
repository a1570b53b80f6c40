//! Old images go, and nothing that anybody needs: retention's real program beside both doubles.

mod survives;
