//! The real binary, as a user and a bad day meet it.
//!
//! What needs a special right or minutes is ignored by default, says why, and is run by `.ci/run`.

#[cfg(test)]
mod bucket_check;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod fsync;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod golden_bucket;
#[cfg(test)]
mod http_api;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod start;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod strace;
#[cfg(test)]
mod support;
#[cfg(test)]
#[cfg(feature = "otlp")]
mod traces;
