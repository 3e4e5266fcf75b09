//! What `tepui --help` says: the commands in groups, as people look for them.
//!
//! The words about a command are its own; here is only who stands beside whom. It must leave none
//! out, which a test checks.

use crate::Arguments;
use clap::CommandFactory;
use std::fmt::Write as _;

/// Headings and the commands below each.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Run work", &["run", "job", "ps", "top", "logs", "exec", "attach", "limits", "kill", "why"]),
    ("See the cluster", &["agents", "frameworks", "roles", "offers", "events"]),
    ("Share the cluster", &["quota", "weights", "reserve", "unreserve", "reservations", "volumes"]),
    (
        "Look after machines and frameworks",
        &["drain", "deactivate", "reactivate", "gone", "maintenance", "teardown"],
    ),
    ("Start a cluster", &["up", "demo", "master", "agent", "jobs", "cluster"]),
    ("This program", &["version", "completions"]),
];

/// The command line with its commands in groups.
pub(crate) fn command() -> clap::Command {
    let command = Arguments::command();
    let groups = groups(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{groups}\n\
         'tepui COMMAND --help' has all options and examples of a command.\n\n\
         Options:\n{{options}}{{after-help}}"
    ))
}

fn groups(command: &clap::Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let _ = writeln!(text, "\n{heading}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {name:<14}{about}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_command_is_in_one_group_with_a_word_about_it() {
        let command = Arguments::command();
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
        let visible: BTreeSet<&str> = visible.map(clap::Command::get_name).collect();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), visible);
        assert_eq!(grouped.len(), visible.len(), "none stands twice");
        let help = super::command().render_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "'{line}' is too long");
        }
        for name in grouped {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && help.contains(&about), "{name}: '{about}'");
        }
    }
}
