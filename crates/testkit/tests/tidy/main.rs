//! What the house rules ask of every file, checked. A failure lists all offenders, each with its
//! place and what would be right.

mod arrows;
mod deny;
mod docs;
mod source;
mod sources;
mod tree;

/// Fails with the whole list, so that one run shows everything that there is to mend.
fn expect_none(rule: &str, offenders: Vec<String>) {
    assert!(
        offenders.is_empty(),
        "{rule}\n  {}\n",
        offenders.join("\n  ")
    );
}
