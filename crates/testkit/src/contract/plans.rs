//! Release plans, as a person makes them and gives orders about them.

use super::Stand;
use super::shop::{Shop, good};
use super::stand::rejected;
use domain::plan::{Choice, Plan, PlanId, Refusal, Terms};
use domain::ports::{PlanError, PlanOrder};
use domain::ticket::{Ticket, TicketId};
use domain::wait::Reason;
use std::time::Duration;

pub(super) const WHO: &str = "ann";

pub(super) fn terms(ramp: &str) -> Terms {
    Terms {
        ramp: ramp.parse().expect("a case writes valid ramps"),
        ..Terms::default()
    }
}

/// A stage without breakers, and so many tickets that are parked there.
pub(super) async fn parked(stand: Stand, count: usize) -> (Shop, Vec<TicketId>) {
    let mut shop = Shop::at(stand, "build").await;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(park(&mut shop, |ticket| ticket).await);
        shop.stand.skip(Duration::from_millis(10));
    }
    shop.deploy("2", good).await;
    (shop, ids)
}

pub(super) async fn park(shop: &mut Shop, change: impl FnOnce(Ticket) -> Ticket) -> TicketId {
    let ticket = change(shop.ticket("sick"));
    let id = ticket.id();
    shop.stand.submit_all(vec![ticket]).await;
    shop.deploy("1", |_| rejected()).await;
    assert_eq!(shop.work().await, 1);
    shop.stand.waits_as(id, Reason::Parked).await;
    id
}

pub(super) async fn make(shop: &Shop, query: &str, terms: Terms) -> Plan {
    let query = query.parse().expect("a case writes valid queries");
    let made = shop.stand.world().plans().make(query, terms, WHO).await;
    made.expect("the plan is made")
}

pub(super) async fn order(shop: &Shop, id: PlanId, order: PlanOrder) -> Plan {
    let ordered = shop.stand.world().plans().order(id, order, WHO).await;
    ordered.expect("the order is carried out")
}

pub(super) async fn refused(shop: &Shop, id: PlanId, order: PlanOrder) -> Refusal {
    let before = plan(shop, id).await;
    let refused = shop.stand.world().plans().order(id, order, WHO).await;
    assert_eq!(
        plan(shop, id).await,
        before,
        "a refused order changes nothing"
    );
    match refused {
        Err(PlanError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(super) async fn plan(shop: &Shop, id: PlanId) -> Plan {
    let plan = shop.stand.world().plans().plan(id).await;
    let plan = plan.expect("the plans can be read");
    plan.unwrap_or_else(|| panic!("plan {id} is kept"))
}

pub(super) const fn everything() -> PlanOrder {
    PlanOrder::Release(Choice::Everything, None)
}
