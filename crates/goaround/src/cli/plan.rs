//! `goaround plan`: how waiting tickets become runnable again, many at a time.

mod list;
mod shown;

use super::act::{self, Selection};
use super::failure::{Code, Failure};
use super::list::{filter_of_tickets, query};
use super::local::Local;
use super::output::{Form, items, member};
use super::terminal::Terminal;
use crate::client::{Body, Client};
use clap::{Args, Subcommand, ValueEnum};
use domain::plan::{GroupName, PlanId, Ramp, Rate, StopRule};
use domain::ports::PLANS_MAX;
use domain::signature::{BadSignatureId, SignatureId};
use serde_json::{Map, Value as Json, json};
use shown::print;
use std::ops::RangeInclusive;
use std::process::ExitCode;

/// The group that is all of a plan.
const EVERYTHING: &str = "everything";

/// Release waiting tickets, many at a time
#[derive(Args)]
#[command(before_help = "Example:\n  goaround plan list")]
#[command(disable_help_subcommand = true)]
pub(super) struct Plans {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Release plans, the newest first
    #[command(before_help = "Example:\n  goaround plan list --filter 'is:live stage:build'")]
    List(Local<First>),
    /// One plan: its groups, where it stands, who did what
    #[command(before_help = EXAMPLE_SHOW)]
    Show(Show),
    /// Freeze the waiting tickets that match into a plan; nothing is released yet
    #[command(before_help = "Example:\n  goaround plan make --filter 'is:held stage:build'")]
    Make(Make),
    /// Begin to release a plan's tickets, in steps
    #[command(before_help = EXAMPLE_RELEASE)]
    Release(Release),
    /// Release nothing until it is resumed
    #[command(before_help = EXAMPLE_PAUSE)]
    Pause(One),
    /// Go on after a pause
    #[command(before_help = EXAMPLE_RESUME)]
    Resume(One),
    /// Release nothing any more; what was released stays released
    #[command(before_help = EXAMPLE_STOP)]
    Stop(One),
    /// Give up a group of a plan's tickets, with a reason that is kept
    #[command(before_help = EXAMPLE_DROP)]
    Drop(Drop),
}

const EXAMPLE_SHOW: &str =
    "Example:\n  goaround plan show 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f -o json";
const EXAMPLE_RELEASE: &str = "Example:\n  goaround plan release \
                               0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f --group kind=f42 --rate 10/s";
const EXAMPLE_PAUSE: &str = "Example:\n  goaround plan pause 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";
const EXAMPLE_RESUME: &str =
    "Example:\n  goaround plan resume 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";
const EXAMPLE_STOP: &str = "Example:\n  goaround plan stop 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";
const EXAMPLE_DROP: &str = "Example:\n  goaround plan drop 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f \
                            --group kind=f42 --reason 'too old'";

#[derive(Args)]
struct Show {
    /// The plan
    #[arg(value_name = "ID")]
    id: PlanId,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

#[derive(Args)]
struct Make {
    /// Which waiting tickets, for example 'is:held stage:build'; an empty text is all
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true, value_parser = filter_of_tickets)]
    filter: String,
    #[command(flatten)]
    terms: Terms,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Told::Table, value_name = "FORM")]
    output: Told,
}

#[derive(Args)]
struct Release {
    #[command(flatten)]
    one: One,
    /// Which of its tickets, as the plan shows it, for example kind=f42; without it all
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Args)]
struct Drop {
    #[command(flatten)]
    one: One,
    /// Which of its tickets, as the plan shows it, for example kind=f42; or everything
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: String,
    /// Why; kept in the books
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args)]
struct One {
    /// The plan
    #[arg(value_name = "ID")]
    id: PlanId,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Told::Table, value_name = "FORM")]
    output: Told,
}

/// How tickets are released; what is not said is as the plan has it.
#[derive(Args)]
pub(super) struct Terms {
    /// How fast, for example 10/s, 300/m or none
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<String>,
    /// In which steps, for example 1,10,100; the rest goes in the last one
    #[arg(long, value_name = "STEPS")]
    ramp: Option<Ramp>,
    /// Which first
    #[arg(long, value_enum)]
    order: Option<First>,
    /// Stop when more than so many percent of the last 100 that ended have failed; 100 never stops
    /// for that. Whatever is said here, a release also stops when a step before the last fails and
    /// nothing of it lands; --ramp all has no such step
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    stop_above: Option<u8>,
    /// Do not judge that share before so many have ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(SAMPLES))]
    stop_sample: Option<u32>,
    /// Stop when one fails in this very way, for example v1-0f3a9c5e77b2d104; or none
    #[arg(long, value_name = "SIGNATURE", value_parser = same)]
    stop_same: Option<String>,
}

/// After how many ends a release can be judged.
const SAMPLES: RangeInclusive<i64> = 1..=StopRule::SAMPLE as i64;

/// Which comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum First {
    /// The newest first.
    Newest,
    /// The oldest first.
    Oldest,
}

/// The forms of what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Told {
    /// A line with where the plan stands.
    Table,
    /// One JSON document.
    Json,
    /// Only the id.
    Name,
}

fn group(text: &str) -> Result<String, domain::plan::BadGroup> {
    match text {
        EVERYTHING => Ok(text.into()),
        name => name.parse::<GroupName>().map(|name| name.to_string()),
    }
}

fn rate(text: &str) -> Result<String, domain::plan::BadRate> {
    match text {
        "none" => Ok(text.into()),
        rate => rate.parse::<Rate>().map(|rate| rate.to_string()),
    }
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse();
    let percent = number.ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| "expected a share such as 5%, at most 100%".into())
}

fn same(text: &str) -> Result<String, BadSignatureId> {
    match text {
        "none" => Ok(text.into()),
        name => name.parse::<SignatureId>().map(|name| name.to_string()),
    }
}

impl Plans {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::List(list) => {
                list.run(&format!("plans?limit={PLANS_MAX}"), client, terminal)?;
            }
            Verb::Show(show) => {
                let plan = client.get(&format!("plans/{}", show.id))?;
                match show.output {
                    Form::Json => terminal.print(&plan.to_string())?,
                    Form::Table => print(&plan, terminal)?,
                }
            }
            Verb::Make(make) => make.run(client, terminal)?,
            Verb::Release(release) => {
                let body = json!({ "group": release.group, "terms": release.terms.json() });
                release.one.order("release", &body, client, terminal)?;
            }
            Verb::Pause(one) => one.order("pause", &json!({}), client, terminal)?,
            Verb::Resume(one) => one.order("resume", &json!({}), client, terminal)?,
            Verb::Stop(one) => one.order("stop", &json!({}), client, terminal)?,
            Verb::Drop(drop) if drop.reason.trim().is_empty() => {
                let message = "--reason: expected a reason, got an empty text";
                return Err(Failure::new(Code::Usage, message));
            }
            Verb::Drop(drop) => {
                let body = json!({ "group": drop.group, "reason": drop.reason });
                drop.one.order("drop", &body, client, terminal)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Terms {
    pub(super) fn is_said(&self) -> bool {
        self.json() != json!({})
    }

    /// Only what is said.
    fn json(&self) -> Json {
        let mut terms = Map::new();
        if let Some(rate) = &self.rate {
            terms.insert("rate".into(), rate.as_str().into());
        }
        if let Some(ramp) = &self.ramp {
            terms.insert("ramp".into(), ramp.to_string().into());
        }
        if let Some(order) = self.order {
            let order = match order {
                First::Newest => "newest",
                First::Oldest => "oldest",
            };
            terms.insert("order".into(), order.into());
        }
        let stop = self.stop();
        if !stop.is_empty() {
            terms.insert("stop".into(), stop.into());
        }
        Json::Object(terms)
    }

    fn stop(&self) -> Map<String, Json> {
        let said = [
            ("percent_max", self.stop_above.map(Json::from)),
            ("sample_min", self.stop_sample.map(Json::from)),
            ("same", self.stop_same.as_deref().map(Json::from)),
        ];
        let said = said.into_iter();
        said.filter_map(|(name, value)| Some((name.into(), value?)))
            .collect()
    }
}

impl Make {
    fn run(&self, client: &Client, terminal: &Terminal<'_>) -> Result<(), Failure> {
        let body = json!({ "filter": self.filter, "terms": self.terms.json() });
        let plan = client.post("plans", Body::Json(&body.to_string()))?;
        match self.output {
            Told::Table => print(&plan, terminal)?,
            Told::Json => terminal.print(&plan.to_string())?,
            Told::Name => terminal.print(&member(&plan, "id"))?,
        }
        let next = match plan["counts"]["total"].as_u64() {
            Some(0) => "no waiting ticket matches, so there is nothing to release".into(),
            _ => format!(
                "nothing is released yet: goaround plan release {}",
                member(&plan, "id")
            ),
        };
        terminal.note(&next);
        Ok(())
    }
}

impl One {
    fn order(
        &self,
        verb: &str,
        body: &Json,
        client: &Client,
        terminal: &Terminal<'_>,
    ) -> Result<(), Failure> {
        let path = format!("plans/{}/{verb}", self.id);
        let plan = client.post(&path, Body::Json(&body.to_string()))?;
        match self.output {
            Told::Table => terminal.print(&line(&plan)),
            Told::Json => terminal.print(&plan.to_string()),
            Told::Name => terminal.print(&member(&plan, "id")),
        }
    }
}

/// Tries all that match again, by a plan that is made for it: at once and to the end, unless the
/// terms say otherwise.
pub(super) fn retry(
    (filter, terms): (&str, &Terms),
    selection: &Selection,
    client: &Client,
    terminal: &Terminal<'_>,
) -> Result<(), Failure> {
    if is_for_nothing(filter, client)? {
        terminal.note("no waiting ticket matches, so there is nothing to retry");
        return match selection.told() {
            act::Told::Json => terminal.print("[]"),
            act::Told::Table | act::Told::Jsonl | act::Told::Name => Ok(()),
        };
    }
    let mut said = terms.json();
    if terms.ramp.is_none() {
        said["ramp"] = "all".into();
        if terms.stop_above.is_none() {
            said["stop"]["percent_max"] = 100.into();
        }
    }
    let body = json!({ "filter": filter, "terms": said });
    let plan = client.post("plans", Body::Json(&body.to_string()))?;
    let (id, total) = (member(&plan, "id"), plan["counts"]["total"].as_u64());
    let count = total.unwrap_or(0);
    let what = format!("retry {count} tickets that wait and match {filter:?}, by plan {id}");
    if let Err(failure) = selection.confirm((count, &what), terminal) {
        client.post(&format!("plans/{id}/stop"), Body::Json("{}"))?;
        return Err(failure);
    }
    let plan = match count {
        0 => plan,
        _ => client.post(&format!("plans/{id}/release"), Body::Json("{}"))?,
    };
    match selection.told() {
        act::Told::Table => terminal.print(&line(&plan))?,
        act::Told::Json | act::Told::Jsonl => terminal.print(&plan.to_string())?,
        act::Told::Name => terminal.print(&id)?,
    }
    if count > 0 {
        terminal.note(&format!("where it stands: goaround plan show {id}"));
    }
    Ok(())
}

/// Whether no waiting ticket matches: then no plan is made, so that none is left behind.
fn is_for_nothing(filter: &str, client: &Client) -> Result<bool, Failure> {
    // A filter without room for one more condition is not looked at first.
    let Ok(waiting) = act::narrowed("is:waiting", filter) else {
        return Ok(false);
    };
    let answer = client.get(&query("tickets", Some(&waiting), 1, "oldest"))?;
    Ok(items(&answer).is_empty())
}

/// Where the plan stands, in a line.
fn line(plan: &Json) -> String {
    let counts = &plan["counts"];
    format!(
        "{}  {}  {} of {} tickets left",
        member(plan, "id"),
        member(plan, "state"),
        member(counts, "left"),
        member(counts, "total"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_terms_is_sent() {
        let terms = |rate: Option<&str>, order| Terms {
            rate: rate.map(str::to_owned),
            ramp: None,
            order,
            stop_above: None,
            stop_sample: None,
            stop_same: None,
        };
        assert_eq!(terms(None, None).json(), json!({}));
        let said = terms(Some("10/s"), Some(First::Newest)).json();
        assert_eq!(said, json!({ "rate": "10/s", "order": "newest" }));
        assert!(rate("fast").is_err() && group("f42").is_err());
        assert_eq!((percent("5%"), percent("100")), (Ok(5), Ok(100)));
        assert!(percent("101").is_err() && percent("-1").is_err() && same("x").is_err());
        assert_eq!(
            (rate("none"), group("everything")),
            (Ok("none".into()), Ok("everything".into()))
        );
    }
}
