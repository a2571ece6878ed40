//! `eagre bucket`.

mod report;

use std::{pin::pin, process::ExitCode, time::Duration};

use eagre_env::Env;
use eagre_objects::{
    BucketUrl, BucketUrlError, OpenError, Unopened,
    check::{CHECK_FOLDER, Check, Plan},
};
use tokio::time::timeout;

use self::report::{Checked, Verdict};
use crate::{
    cli::{BucketArgs, BucketCheckArgs, BucketCommand, Format},
    console::{print, say},
    failure::Failure,
    signals::Signals,
};

/// What a check wrote is deleted within this, or left where it is.
const CLEAN_UP_MAX: Duration = Duration::from_secs(60);

/// Runs the command.
pub async fn run(args: BucketArgs) -> Result<ExitCode, Failure> {
    match args.command {
        BucketCommand::Check(args) => check(args).await,
    }
}

async fn check(args: BucketCheckArgs) -> Result<ExitCode, Failure> {
    let url: BucketUrl = args.bucket.parse().map_err(|error: BucketUrlError| Failure::usage(error.to_string()))?;
    let mut signals = Signals::listen()?;
    let env = Env::system();
    let bucket = tokio::select! {
        reached = reach(&env, &url) => reached.map_err(explain)?,
        signal = signals.next() => return Ok(signal.status()),
    };
    let plan = if args.quick { Plan::quick() } else { Plan::full() };
    let check = Check::new(&env, bucket.store());
    let mut printed = Ok(());
    let mut tell = |finding: &_| {
        if args.format == Format::Text && printed.is_ok() {
            printed = print(&report::line(finding));
        }
    };
    let outcome = {
        let mut run = pin!(check.run(&plan, &mut tell));
        tokio::select! {
            report = &mut run => Ok(report),
            signal = signals.next() => {
                // What is under way would otherwise be written after the clean-up.
                check.stop();
                tokio::select! {
                    _ = run => {}
                    _ = signals.next() => {}
                }
                Err(signal)
            }
        }
    };
    let cleaned = tokio::select! {
        cleaned = timeout(CLEAN_UP_MAX, check.clean_up()) => {
            cleaned.unwrap_or_else(|_| Err(format!("what lies below {CHECK_FOLDER}/ was not deleted in time")))
        }
        _ = signals.next() => Err(format!("what lies below {CHECK_FOLDER}/ was left there")),
    };
    bucket.remove_empty_folders(CHECK_FOLDER).await;
    if let Err(left) = cleaned {
        say(&format!("warning: {left}; it is in nobody's way, delete it when you like"));
    }
    printed?;
    let report = match outcome {
        Ok(report) => report,
        Err(signal) => return Ok(signal.status()),
    };
    let checked = Checked::new(&url, bucket.kind(), &report);
    print(&match args.format {
        Format::Text => checked.text(),
        Format::Json => checked.json().to_string() + "\n",
    })?;
    Ok(match checked.verdict {
        Verdict::Right => ExitCode::SUCCESS,
        Verdict::Wrong | Verdict::Unknown => ExitCode::FAILURE,
    })
}

async fn reach(env: &Env, url: &BucketUrl) -> Result<Unopened, OpenError> {
    let bucket = Unopened::at(env, url).await?;
    bucket.reach().await?;
    Ok(bucket)
}

fn explain(error: OpenError) -> Failure {
    let failure = Failure::new(error.to_string());
    match &error {
        OpenError::Remote { trouble, .. } => failure.help(trouble.advice()),
        _ => failure,
    }
}
