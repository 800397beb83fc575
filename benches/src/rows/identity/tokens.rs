//! **Purpose**: how many tokens one core verifies, with everything that a node looks up for a call.
//!
//! **Invariants**: 10,000 distinct tokens of 1,000 users, so that neither a verdict nor a row stays in
//! the nearest cache; nothing is remembered between two verifications; the verdict is checked each
//! time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hesper_auth::{Actor, Command, Context, Permission, Reply, State, Verifier};

use crate::case::Case;
use crate::stats::Better;

const USERS: usize = 1_000;
const TOKENS: usize = 10_000;
const SLICE: Duration = Duration::from_secs(1);
const NOW_MS: u64 = 1_700_000_000_000;

pub fn measure(case: &mut Case) -> Result<()> {
    let (state, verifier, tokens) = prepare()?;
    let mut samples = Vec::new();
    for _ in 0..case.plan.samples.max(3) {
        samples.push(rate(&state, &verifier, &tokens)?);
    }
    case.median("token_verify", "/s", Better::Higher, &samples, None)
}

fn rate(state: &State, verifier: &Verifier, tokens: &[String]) -> Result<f64> {
    let begun = Instant::now();
    let mut done = 0usize;
    while begun.elapsed() < SLICE {
        for token in tokens {
            let caller = verifier.verify(state, black_box(token), NOW_MS)?;
            caller.require(Permission::Write, "submit a job")?;
            // The limits of this call; every user has one.
            let limits = state.limits_for(&caller.user, "jobs", "submit").count();
            ensure!(limits == 1, "{} has {limits} limits", caller.user);
            done += 1;
        }
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

fn prepare() -> Result<(State, Verifier, Vec<String>)> {
    let mut state = State::default();
    let mut apply = |command: Command, index: u64| -> Result<Reply> {
        let actor = Actor::admin("bench");
        let context = Context { now_ms: NOW_MS, index, actor: &actor };
        match state.apply(&context, command, &mut |_, _, _| {}).reply {
            Reply::Rejected(rejected) => bail!("refused: {rejected}"),
            reply => Ok(reply),
        }
    };
    let secret = [42; 32];
    let Reply::SecretAdded { kid } =
        apply(Command::AddSecret { sealed: secret.to_vec(), overlap_ms: 0 }, 1)?
    else {
        bail!("no secret was added")
    };
    let mut rows = Vec::with_capacity(TOKENS);
    for at in 0..USERS {
        let name = format!("user-{at}");
        let user = || name.clone();
        let create = Command::CreateUser { name: user(), comment: String::new(), enabled: true };
        apply(create, 2)?;
        let limit = Command::SetLimit {
            id: None,
            user: user(),
            service: "jobs".to_owned(),
            method: String::new(),
            cap: 1_000_000_000,
            window_ms: 60_000,
        };
        apply(limit, 3)?;
        for _ in 0..TOKENS / USERS {
            let create = Command::CreateToken {
                user: user(),
                name: String::new(),
                permission: Permission::Sign,
                extra: String::new(),
                valid_ms: Some(86_400_000),
            };
            match apply(create, 4)? {
                Reply::Token { token } => rows.push(token),
                other => bail!("no token was made: {other:?}"),
            }
        }
    }
    let mut verifier = Verifier::new();
    verifier.set_key(kid, &secret);
    // Neighbours in the list are not neighbours in the tables.
    let stride = 7_919;
    let tokens = (0..rows.len())
        .map(|at| {
            let row = rows.get(at * stride % rows.len()).context("within the rows")?;
            verifier.mint(row).context("the key of the token is known")
        })
        .collect::<Result<Vec<String>>>()?;
    Ok((state, verifier, tokens))
}
