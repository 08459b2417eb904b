//! What a worker says beside its tickets: holds of its stages, and reports.

use crate::journal::PERSISTENT;
use crate::publisher::Message;
use crate::worker::Worker;
use async_trait::async_trait;
use domain::control::Hold;
use domain::names::StageName;
use domain::oops::{OopsId, Report};
use domain::ports::{Holds, OopsError, Reporter, Sent, StoreError};
use domain::record::Said;
use domain::time::Timestamp;
use lapin::BasicProperties;

#[async_trait]
impl Holds for Worker {
    async fn hold(&self, stage: &StageName, hold: Hold) -> Result<(), StoreError> {
        let shared = self.shared();
        let record = shared.record(Said::Hold(stage.clone(), Box::new(hold)));
        shared.journal.write(&[record]).await
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<(), StoreError> {
        let shared = self.shared();
        let record = shared.record_at(now, Said::Unhold(stage.clone()));
        shared.journal.write(&[record]).await
    }
}

#[async_trait]
impl Reporter for Worker {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        let shared = self.shared();
        let names = &shared.config.names;
        let message = Message {
            exchange: names.exchange().into(),
            routing_key: names.oops().into(),
            body: wire::report::encode(&report),
            properties: BasicProperties::default()
                .with_delivery_mode(PERSISTENT)
                .with_content_type(wire::report::CONTENT_TYPE.into())
                .with_message_id(report.id.to_string().as_str().into()),
        };
        match shared.publisher.publish(message).await {
            Sent::Confirmed => Ok(report.id),
            // It may be published again: the same report has the same id.
            Sent::Begun | Sent::Doubtful | Sent::Unsent => Err(OopsError(
                shared.unavailable("the report is not durable yet"),
            )),
        }
    }
}
