//! What stages ask about their handlers.

use super::Memory;
use async_trait::async_trait;
use domain::control::{Change, Hold};
use domain::names::StageName;
use domain::ports::{Desk, Holds, StoreError, Waits};
use domain::time::Timestamp;

#[async_trait]
impl Holds for Memory {
    async fn hold(&self, stage: &StageName, hold: Hold) -> Result<(), StoreError> {
        let change = Change::Hold(stage.clone(), hold);
        self.change(change).await.map(drop)
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<(), StoreError> {
        self.change(Change::Unhold(stage.clone())).await?;
        Waits::unhold(self, stage, now).await.map(drop)
    }
}
