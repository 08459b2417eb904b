//! From settings to a [`Config`]: what single values cannot show wrong is found here.

use super::path::nearest;
use super::problem::{Problem, Source};
use super::secret::Secret;
use super::settings::Settings;
use super::value::Variable;
use super::{Config, Http, Limits, Run, Surroundings};
use actors::controller::Keeping;
use domain::breaker::Rules;
use domain::flow::{BadFlow, Flows, Journal, Stage, Unique};
use domain::names::{FlowName, Kind, StageName, Version};
use domain::retry::RetryPolicy;
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;

mod servers;

/// The longest token that is read from a file.
const TOKEN_BYTES_MAX: usize = 4_096;

/// Puts the configuration together.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn compose(
    settings: &Settings,
    folder: &Path,
    around: &Surroundings<'_>,
) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let flows = flows(settings, &mut problems);
    let handlers = handlers(settings, around.variables, &mut problems);
    let http = http(settings, folder, &mut problems);
    let (broker, store) = servers::servers(settings, folder, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let defaults = Config::default();
    Ok(Config {
        flows,
        handlers,
        http,
        broker,
        store,
        keeping: keeping(settings, defaults.keeping),
        limits: Limits {
            payload_bytes_max: settings
                .size(&["limits", "payload_bytes_max"])
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(defaults.limits.payload_bytes_max),
        },
        drain: settings
            .duration(&["shutdown", "drain"])
            .unwrap_or(defaults.drain),
        folder: folder.to_owned(),
        file: around.file.map(Path::to_owned),
    })
}

fn keeping(settings: &Settings, otherwise: Keeping) -> Keeping {
    let length = |key| settings.duration(&["store", key]);
    let number = |key| settings.integer(&["store", key]);
    Keeping {
        tickets_for: length("retention").unwrap_or(otherwise.tickets_for),
        tickets_max: number("tickets_max").unwrap_or(otherwise.tickets_max),
        oopses_for: length("oops_retention").unwrap_or(otherwise.oopses_for),
        oopses_max: number("oopses_max").unwrap_or(otherwise.oopses_max),
    }
}

fn flows(settings: &Settings, problems: &mut Vec<Problem>) -> Flows {
    let names = settings.names("stage").into_iter();
    let stages = names
        .filter_map(|name| stage(name, settings, problems))
        .collect();
    let names = settings.names("flow").into_iter();
    let flows = names
        .filter_map(|name| Some((FlowName::new(name).ok()?, stops(name, settings, problems)?)))
        .collect();
    match Flows::new(stages, flows) {
        Ok(flows) => flows,
        Err(bad) => {
            problems.extend(bad.into_iter().map(|bad| bad_flow(bad, settings)));
            Flows::default()
        }
    }
}

fn stops(flow: &str, settings: &Settings, problems: &mut Vec<Problem>) -> Option<Vec<StageName>> {
    let at = ["flow", flow, "stages"];
    match settings.list(&at) {
        Some(stops) => Some(
            stops
                .iter()
                .filter_map(|stop| StageName::new(stop).ok())
                .collect(),
        ),
        None => {
            if settings.is_missing(&at) {
                problems.push(missing(&at, settings, "a list of stages, got nothing"));
            }
            None
        }
    }
}

fn bad_flow(bad: BadFlow, settings: &Settings) -> Problem {
    let (flow, meant) = match &bad {
        BadFlow::Empty(flow) | BadFlow::Cycle { flow, .. } => (flow, None),
        BadFlow::MissingStage { flow, stage } => {
            (flow, nearest(stage.as_str(), &settings.names("stage")))
        }
    };
    let meant = meant.map_or(String::new(), |name| format!("; did you mean {name:?}?"));
    Problem {
        source: settings.source(&["flow", flow.as_str(), "stages"]),
        what: format!("{bad}{meant}"),
    }
}

fn missing(at: &[&str], settings: &Settings, expected: &str) -> Problem {
    Problem {
        source: settings.source(at),
        what: format!("{}: expected {expected}", at.join(".")),
    }
}

fn stage(name: &str, settings: &Settings, problems: &mut Vec<Problem>) -> Option<Stage> {
    // A name from the environment was not looked at before.
    let stage_name = match StageName::new(name) {
        Ok(name) => name,
        Err(bad) => {
            let source = settings.source(&["stage", name]);
            let what = bad.to_string();
            problems.push(Problem { source, what });
            return None;
        }
    };
    let key = |key| ["stage", name, key];
    let otherwise = Stage::new(stage_name);
    let concurrency = settings.integer(&key("concurrency"));
    let concurrency = concurrency.and_then(|number| usize::try_from(number).ok());
    let kinds = settings.list(&key("kinds"));
    Some(Stage {
        concurrency: concurrency
            .and_then(NonZeroUsize::new)
            .unwrap_or(otherwise.concurrency),
        deadline: settings
            .duration(&key("deadline"))
            .unwrap_or(otherwise.deadline),
        grace: settings
            .duration(&key("stop_grace"))
            .unwrap_or(otherwise.grace),
        retry: retry(name, settings, problems),
        kinds: kinds.map(|kinds| {
            kinds
                .iter()
                .filter_map(|kind| Kind::new(kind).ok())
                .collect()
        }),
        unique: match settings.text(&key("unique")).as_deref() {
            Some("key") => Unique::ByKey,
            _ => Unique::No,
        },
        breaker: breaker(name, settings),
        journal: match settings.text(&key("journal")).as_deref() {
            Some("exceptions") => Journal::Exceptions,
            _ => Journal::Full,
        },
        name: otherwise.name,
    })
}

fn retry(stage: &str, settings: &Settings, problems: &mut Vec<Problem>) -> RetryPolicy {
    let key = |key| ["stage", stage, "retry", key];
    let otherwise = RetryPolicy::default();
    let attempts = settings.integer(&key("attempts")).unwrap_or_default();
    let policy = RetryPolicy {
        first: settings.duration(&key("first")).unwrap_or(otherwise.first),
        factor: settings.number(&key("factor")).unwrap_or(otherwise.factor),
        max: settings.duration(&key("max")).unwrap_or(otherwise.max),
        jitter: settings.number(&key("jitter")).unwrap_or(otherwise.jitter),
        attempts: u32::try_from(attempts).ok().and_then(NonZeroU32::new),
    };
    if policy.max < policy.first {
        let show = domain::time::show_duration;
        let expected = format!(
            "at least retry.first ({}), got {}",
            show(policy.first),
            show(policy.max)
        );
        problems.push(missing(&key("max"), settings, &expected));
    }
    policy
}

fn breaker(stage: &str, settings: &Settings) -> Option<Rules> {
    if settings.switch(&["stage", stage, "breaker"]) == Some(false) {
        return None;
    }
    let key = |key| ["stage", stage, "breaker", key];
    let otherwise = Rules::default();
    let failures = settings.integer(&key("failures"));
    let failures = failures.and_then(|count| u32::try_from(count).ok());
    let probe = settings.duration(&key("probe"));
    let rules = Rules::new(
        failures.unwrap_or(otherwise.failures()),
        probe.unwrap_or(otherwise.probe()),
    );
    // The table has the bounds of the rules, so they are never refused here.
    Some(rules.unwrap_or(otherwise))
}

fn handlers(
    settings: &Settings,
    variables: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<StageName, Run> {
    let mut handlers = BTreeMap::new();
    for name in settings.names("stage") {
        let key = |key| ["stage", name, key];
        let Some(command) = settings.list(&key("run")) else {
            let expected = "a program and its arguments such as [\"./build.sh\"], got nothing";
            if settings.is_missing(&key("run")) {
                problems.push(missing(&key("run"), settings, expected));
            }
            continue;
        };
        let Ok(stage) = StageName::new(name) else {
            continue;
        };
        let version = settings.text(&key("version"));
        // The table has a default for each of them.
        let bound = |name| settings.size(&key(name)).unwrap_or_default();
        let run = Run {
            command,
            env: resolve(
                settings.environment(&key("env")).unwrap_or_default(),
                variables,
            ),
            version: version.and_then(|version| Version::new(&version).ok()),
            memory_bytes_max: settings.size(&key("memory_bytes_max")),
            stdout_bytes_max: bound("stdout_bytes_max"),
            stderr_bytes_max: bound("stderr_bytes_max"),
            result_bytes_max: bound("result_bytes_max"),
        };
        handlers.insert(stage, run);
    }
    handlers
}

/// What is inherited but not set here is not set for the handler either.
fn resolve(
    wanted: BTreeMap<String, Variable>,
    variables: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let value = |(name, variable): (String, Variable)| match variable {
        Variable::Is(text) => Some((name, text.reveal().to_owned())),
        Variable::Inherited => variables.get(&name).map(|text| (name, text.clone())),
    };
    wanted.into_iter().filter_map(value).collect()
}

fn http(settings: &Settings, folder: &Path, problems: &mut Vec<Problem>) -> Http {
    let otherwise = Http::default();
    let at = ["http", "listen"];
    let listen = settings.address(&at).unwrap_or(otherwise.listen);
    let token = match token(settings, folder) {
        Ok(token) => token,
        Err(problem) => {
            problems.push(problem);
            return otherwise;
        }
    };
    if token.is_none() && !listen.ip().is_loopback() {
        let what = format!(
            "http.listen: expected a loopback address such as 127.0.0.1:{} as long as no token \
             is configured, got {listen}; set http.token_file or GOAROUND_TOKEN",
            listen.port()
        );
        let source = settings.source(&at);
        problems.push(Problem { source, what });
    }
    let url = settings.text(&["http", "url"]);
    Http { listen, url, token }
}

fn token(settings: &Settings, folder: &Path) -> Result<Option<Secret>, Problem> {
    if let Some(token) = settings.secret(&["http", "token"]) {
        return check_token(token.reveal())
            .map(Some)
            .map_err(|what| Problem {
                source: settings.source(&["http", "token"]),
                what: format!("http.token: {what}"),
            });
    }
    let Some(path) = settings.path(&["http", "token_file"]) else {
        return Ok(None);
    };
    let path = folder.join(path);
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    text.and_then(|text| check_token(&text))
        .map(Some)
        .map_err(|what| Problem {
            source: settings.source(&["http", "token_file"]),
            what: format!("http.token_file: {}: {what}", path.display()),
        })
}

/// A token travels in a header, so it is printable ASCII without spaces.
fn check_token(text: &str) -> Result<Secret, String> {
    let token = text.trim();
    let fits = (1..=TOKEN_BYTES_MAX).contains(&token.len());
    if fits && token.chars().all(|c| c.is_ascii_graphic()) {
        Ok(Secret::new(token))
    } else {
        Err(format!(
            "expected a token of 1 to {TOKEN_BYTES_MAX} printable ASCII characters without \
             spaces, got {} bytes (hidden)",
            token.len()
        ))
    }
}

/// So that a place without a line still has one word.
pub(super) fn whole_file(file: &str, what: String) -> Problem {
    Problem {
        source: Source::File {
            file: file.into(),
            line: 0,
        },
        what,
    }
}
