//! Chance that can be played again: a small generator with a seed.

/// Draws numbers that follow from a seed (splitmix64). Not for secrets.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` up to and including `high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = high.saturating_sub(low).saturating_add(1);
        low + self.roll() % width
    }

    /// Whether something happens that happens so often in a thousand times.
    pub const fn happens(&mut self, per_mille: u32) -> bool {
        self.roll() % 1_000 < per_mille as u64
    }

    /// A number from 0 up to but without 1.
    pub fn fraction(&mut self) -> f64 {
        let bits = u32::try_from(self.roll() >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// One of these.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = choices.len().checked_sub(1).expect("there is a choice");
        let at = self.between(0, u64::try_from(last).unwrap_or(u64::MAX));
        &choices[usize::try_from(at).unwrap_or(0)]
    }

    /// Dice of their own, so that what one part draws does not change what another draws.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.roll())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_chance() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            [0; 8].map(|_: i32| dice.between(1, 6))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|n| (1..=6).contains(n)));
    }
}
