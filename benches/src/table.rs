//! The table that a run prints.

use std::fmt;

/// What is compared with what.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 5]>,
}

/// Median of the rounds; the rounds are sorted on the way.
pub(crate) fn median(rounds: &mut [f64]) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Table {
    /// Rates, where more is better: ours must be at least `floor` times the bare one.
    pub(crate) fn rates(&mut self, what: &str, bare: &mut [f64], ours: &mut [f64], floor: f64) {
        let (bare, ours) = (median(bare), median(ours));
        let ratio = ours / bare;
        let verdict = if ratio >= floor { "yes" } else { "NO" };
        self.rows.push([
            what.into(),
            format!("{bare:.0}/s"),
            format!("{ours:.0}/s"),
            format!("{ratio:.2} (floor {floor})"),
            verdict.into(),
        ]);
    }

    /// A figure with a bound of its own.
    pub(crate) fn bound(&mut self, what: &str, ours: String, bound: &str, is_kept: bool) {
        let verdict = if is_kept { "yes" } else { "NO" };
        self.rows
            .push([what.into(), "-".into(), ours, bound.into(), verdict.into()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| measurement | bare | goaround | ratio or bound | kept |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for [what, bare, ours, ratio, kept] in &self.rows {
            writeln!(f, "| {what} | {bare} | {ours} | {ratio} | {kept} |")?;
        }
        Ok(())
    }
}
