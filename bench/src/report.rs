//! Medians, ratios, and how they are shown.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::plan::{Case, Peer, Scenario, name};
use crate::runner::{Contestant, Run};

/// All rounds of one comparison. `rounds[round][contestant]`, with the error's text where a run yielded nothing.
pub struct Comparison {
    /// What was compared.
    pub case: Case,
    /// Whom.
    pub contestants: Vec<Contestant>,
    /// With what result.
    pub rounds: Vec<Vec<Result<Run, String>>>,
}

impl Comparison {
    fn figure(&self, round: usize, contestant: usize, metric: usize) -> Option<f64> {
        self.rounds[round][contestant].as_ref().ok().map(|run| run.figures[metric])
    }

    /// The median over the rounds.
    fn median(&self, contestant: usize, metric: usize) -> Option<f64> {
        median((0..self.rounds.len()).filter_map(|round| self.figure(round, contestant, metric)).collect())
    }

    /// The median of the quotients by another contestant, each within one round: what slows a whole round down
    /// cancels out.
    fn ratio(&self, contestant: usize, by: usize, metric: usize) -> Option<f64> {
        if !self.case.scenario.metrics()[metric].comparable {
            return None;
        }
        let ratios = (0..self.rounds.len()).filter_map(|round| {
            let by = self.figure(round, by, metric).filter(|&figure| figure > 0.0)?;
            Some(self.figure(round, contestant, metric)? / by)
        });
        median(ratios.collect())
    }

    /// The columns that are yardsticks of this scenario.
    fn yardsticks(&self) -> impl Iterator<Item = (usize, &Contestant)> {
        let wanted: &[Peer] = self.case.scenario.yardsticks();
        self.contestants.iter().enumerate().filter(|(_, contestant)| {
            wanted.contains(&contestant.peer) && contestant.label == name(contestant.peer)
        })
    }

    /// The line for one round: the first figure of each, and the second in brackets.
    pub fn round_line(&self, round: usize) -> String {
        let mut line = format!("  round {:>2}:", round + 1);
        for (column, contestant) in self.contestants.iter().enumerate() {
            let metrics = self.case.scenario.metrics();
            let text = match (self.figure(round, column, 0), self.figure(round, column, 1)) {
                (Some(first), Some(second)) => {
                    format!("{first:.*} ({second:.*})", metrics[0].digits, metrics[1].digits)
                }
                _ => "failed".to_owned(),
            };
            _ = write!(line, "  {} {text}", contestant.label);
        }
        let runs = || self.rounds[round].iter().flatten();
        let others = runs().map(|run| run.others).fold(0.0, f64::max);
        let lost = runs().map(|run| run.lost).fold(0.0, f64::max);
        _ = write!(line, "  [others ≤ {:.0} % of the CPU", others * 100.0);
        if lost > 0.0 {
            _ = write!(line, ", up to {:.2} % of a peer's bytes lost", lost * 100.0);
        }
        line + "]"
    }

    /// The tables: for each metric the medians and the ratios.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        for (metric, about) in self.case.scenario.metrics().iter().enumerate() {
            _ = writeln!(text, "  {}", about.heading);
            let mut row = |heading: &str, cells: &mut dyn Iterator<Item = String>| {
                _ = write!(text, "    {heading:<14}");
                cells.for_each(|cell| _ = write!(text, "{cell:>12}"));
                text.push('\n');
            };
            let columns = || 0..self.contestants.len();
            row("", &mut self.contestants.iter().map(|contestant| contestant.label.clone()));
            row("median", &mut columns().map(|column| cell(self.median(column, metric), about.digits)));
            for (by, yardstick) in self.yardsticks().filter(|_| about.comparable) {
                let ratios = columns().map(|column| cell(self.ratio(column, by, metric), 2));
                row(&format!("× {}", yardstick.label), &mut { ratios });
            }
        }
        _ = writeln!(text, "  CPU that others used on the CPUs of the run, %");
        _ = write!(text, "    {:<14}", "median");
        for column in 0..self.contestants.len() {
            let runs = self.rounds.iter().filter_map(|runs| runs[column].as_ref().ok());
            let others = median(runs.map(|run| run.others * 100.0).collect());
            _ = write!(text, "{:>12}", cell(others, 0));
        }
        text.push('\n');
        for (round, runs) in self.rounds.iter().enumerate() {
            for (contestant, run) in self.contestants.iter().zip(runs) {
                if let Err(error) = run {
                    _ = writeln!(text, "  round {}, {}: {error}", round + 1, contestant.label);
                }
            }
        }
        text
    }

    /// All of it for programs.
    pub fn to_json(&self) -> Value {
        let metrics = self.case.scenario.metrics();
        let run = |run: &Result<Run, String>| match run {
            Ok(run) => {
                let mut object = json!({ "others_share_of_cpu": run.others, "lost_share": run.lost });
                for (metric, figure) in metrics.iter().zip(&run.figures) {
                    object[metric.key] = json!(figure);
                }
                object
            }
            Err(error) => json!({ "error": error }),
        };
        let peer = |column: usize| {
            let mut object = json!({ "peer": self.contestants[column].label, "median": {}, "ratio_to": {} });
            for (metric, about) in metrics.iter().enumerate() {
                object["median"][about.key] = json!(self.median(column, metric));
                for (by, yardstick) in self.yardsticks() {
                    object["ratio_to"][&yardstick.label][about.key] = json!(self.ratio(column, by, metric));
                }
            }
            object["rounds"] = self.rounds.iter().map(|runs| run(&runs[column])).collect();
            object
        };
        json!({
            "scenario": name(self.case.scenario),
            "regime": name(self.case.regime),
            "connections": self.case.connections,
            "peers": (0..self.contestants.len()).map(peer).collect::<Vec<_>>(),
        })
    }

    /// Whether a run yielded nothing that should have. That another peer can't hold so many idle connections is a
    /// result like any other.
    pub fn failed(&self) -> bool {
        self.rounds.iter().any(|runs| {
            let mut failed = self.contestants.iter().zip(runs).filter(|(_, run)| run.is_err());
            failed.any(|(contestant, _)| {
                self.case.scenario != Scenario::Idle || contestant.peer == Peer::Sendoff
            })
        })
    }
}

fn cell(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
}

/// `None` of nothing.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        len if len % 2 == 1 => Some(figures[middle]),
        _ => Some((figures[middle - 1] + figures[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Regime;

    fn comparison(rounds: &[[f64; 2]]) -> Comparison {
        let contestant = |peer| Contestant { label: name(peer), peer, program: "none".into() };
        let run = |&figure: &f64| Ok(Run { figures: vec![figure, 1.0], others: 0.0, lost: 0.0 });
        Comparison {
            case: Case { scenario: Scenario::Bulk, regime: Regime::Same, connections: 1 },
            contestants: vec![contestant(Peer::Raw), contestant(Peer::Tcp)],
            rounds: rounds.iter().map(|round| round.iter().map(run).collect()).collect(),
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round_before_the_median() {
        // The middle round is slow for both: the quotient of the medians would be 0.2.
        let comparison = comparison(&[[1_000.0, 500.0], [100.0, 60.0], [500.0, 200.0]]);
        assert_eq!(comparison.median(0, 0), Some(500.0));
        assert_eq!(comparison.median(1, 0), Some(200.0));
        assert_eq!(comparison.ratio(1, 0, 0), Some(0.5));
    }

    #[test]
    fn a_failed_run_leaves_its_round_out_of_the_ratios_and_is_named() {
        let mut comparison = comparison(&[[1_000.0, 500.0], [100.0, 60.0]]);
        comparison.rounds[1][0] = Err("no answer".to_owned());
        assert_eq!(comparison.ratio(1, 0, 0), Some(0.5));
        assert!(comparison.failed());
        assert!(comparison.tables().contains("round 2, raw: no answer"));
        assert_eq!(comparison.to_json()["peers"][0]["rounds"][1]["error"], "no answer");
    }
}
