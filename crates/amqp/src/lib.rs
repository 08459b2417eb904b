//! The broker port, the journal and the desired state on RabbitMQ; the only crate that knows lapin.
