//! [`Holds`]: what stages ask about their handlers; here the same file keeps holds and waits.

use crate::embedded::Embedded;
use async_trait::async_trait;
use domain::control::{Change, Hold};
use domain::names::StageName;
use domain::ports::{Desk, Holds, StoreError, Waits};
use domain::time::Timestamp;

#[async_trait]
impl Holds for Embedded {
    async fn hold(&self, stage: &StageName, hold: Hold) -> Result<(), StoreError> {
        let change = Change::Hold(stage.clone(), hold);
        self.change(change).await.map(drop)
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<(), StoreError> {
        // In this order: what dies in between leaves a stage that is open, and whoever starts next
        // says it again.
        self.change(Change::Unhold(stage.clone())).await?;
        Waits::unhold(self, stage, now).await.map(drop)
    }
}
