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

    /// Times, where less is better: ours may be at most the bare one, give or take what a run
    /// differs from the next.
    pub(crate) fn millis(&mut self, what: &str, bare: f64, ours: f64) {
        let verdict = if ours <= bare * 1.05 { "yes" } else { "NO" };
        self.rows.push([
            what.into(),
            format!("{bare:.2} ms"),
            format!("{ours:.2} ms"),
            format!("{:.2} (at most 1)", ours / bare),
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
