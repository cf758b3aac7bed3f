//! How much is logged to standard error.

/// From what is wrong to what each library does; one step for each `-v`.
const LEVELS: [&str; 4] = [
    "warn",
    "info,sea_orm_migration=warn",
    "info,granary=debug,sea_orm_migration=warn",
    "debug",
];

/// How much a command logs unless something else is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usual {
    /// It answers a person at a terminal: what is wrong.
    Brief,
    /// It runs until it is stopped: what it does as well, or what the file of settings says.
    Lasting,
}

/// Flags that say how much is logged.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Verbosity {
    /// What is logged to standard error: a level, or directives such as info,granary_transfer=debug [default: info for `serve`, `watch` and
    /// `worker run`, warn for others]
    #[arg(
        long,
        global = true,
        env = "GRANARY_LOG",
        value_name = "FILTER",
        help_heading = "Output"
    )]
    log: Option<String>,
    /// Logs more; the more often it is given, the more
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

impl Verbosity {
    /// What to log; `file` is what the file of settings says.
    pub(crate) fn filter(&self, usual: Usual, file: Option<String>) -> String {
        if let Some(filter) = self.log.clone().filter(|filter| !filter.is_empty()) {
            return filter;
        }
        if usual == Usual::Lasting
            && self.verbose == 0
            && let Some(filter) = file
        {
            return filter;
        }
        let level = usize::from(usual == Usual::Lasting) + usize::from(self.verbose);
        let [.., most] = LEVELS;
        LEVELS.get(level).copied().unwrap_or(most).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(log: Option<&str>, verbose: u8) -> Verbosity {
        Verbosity {
            log: log.map(str::to_owned),
            verbose,
        }
    }

    #[test]
    fn what_runs_long_logs_what_it_does_and_each_v_adds_to_it() {
        let level = |usual, verbose| flags(None, verbose).filter(usual, None);
        assert_eq!(level(Usual::Brief, 0), LEVELS[0]);
        assert_eq!(level(Usual::Brief, 1), LEVELS[1]);
        assert_eq!(level(Usual::Lasting, 0), LEVELS[1]);
        assert_eq!(level(Usual::Lasting, 1), LEVELS[2]);
        assert_eq!(level(Usual::Lasting, 200), LEVELS[3]);
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_what_is_usual() {
        let file = || Some("error".to_owned());
        assert_eq!(flags(None, 0).filter(Usual::Lasting, file()), "error");
        assert_eq!(flags(None, 0).filter(Usual::Brief, file()), LEVELS[0]);
        assert_eq!(flags(None, 1).filter(Usual::Lasting, file()), LEVELS[2]);
        assert_eq!(flags(Some("off"), 1).filter(Usual::Lasting, file()), "off");
    }
}
