//! The broker's claim on a delivery.

use std::sync::Arc;

/// Takes back what was lent. One a subscription; implemented by brokers.
pub trait Lender: Send + Sync {
    /// The delivery with this tag was dropped before it was settled.
    fn take_back(&self, tag: u64);
}

/// The broker's claim on a delivery. Dropped unspent, it hands the ticket back.
#[must_use = "a dropped receipt hands its ticket back"]
pub struct Receipt {
    tag: u64,
    lender: Option<Arc<dyn Lender>>,
}

impl Receipt {
    /// A receipt that `lender` knows by `tag`.
    pub fn new(tag: u64, lender: Arc<dyn Lender>) -> Self {
        Self {
            tag,
            lender: Some(lender),
        }
    }

    /// What the lender knows it by.
    pub const fn tag(&self) -> u64 {
        self.tag
    }

    /// The settlement is durable: the lender gets nothing back.
    pub(crate) fn spend(mut self) -> u64 {
        self.lender = None;
        self.tag
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(lender) = self.lender.take() {
            lender.take_back(self.tag);
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receipt({})", self.tag)
    }
}
