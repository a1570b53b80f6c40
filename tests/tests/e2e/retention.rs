//! Old images go, and nothing that anybody needs: retention's real program beside both fakes.

mod archived;
mod goes_wrong;
mod many;
mod odd;
mod plans;
mod survives;
mod tagged;
mod turns;
