//! What happens, as metrics and log lines: one match over `Event` each.
//!
//! [`metrics`] counts and measures, [`logs`] tells. Both listen as observers; neither decides.

pub mod logs;
pub mod metrics;

pub use logs::Logs;
pub use metrics::Metrics;
