//! `eagre man`.

use std::{fs, process::ExitCode};

use clap::CommandFactory as _;

use crate::{
    cli::{Cli, ManArgs},
    console::{print, say},
    failure::Failure,
};

/// Runs the command.
pub fn run(args: &ManArgs) -> Result<ExitCode, Failure> {
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        // Writing to a vector does not fail.
        clap_mangen::Man::new(Cli::command().disable_help_subcommand(true))
            .render(&mut page)
            .map_err(|error| Failure::new(format!("cannot make the page: {error}")))?;
        print(&String::from_utf8_lossy(&page))?;
        return Ok(ExitCode::SUCCESS);
    };
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    let help = "--out names a folder that can be written";
    written.map_err(|error| Failure::of_file("write pages into", folder, &error, help))?;
    say(&format!("wrote the pages into {}; read one with `man {}/eagre.1`", folder.display(), folder.display()));
    Ok(ExitCode::SUCCESS)
}
