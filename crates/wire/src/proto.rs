//! The messages of `proto/goaround/v1`, as compiled. The modules beside this one turn them into
//! the rules' own types; nobody else needs them.
#![expect(
    clippy::large_enum_variant,
    reason = "generated; the large variant is the usual one"
)]

include!(concat!(env!("OUT_DIR"), "/goaround.v1.rs"));
