//! `fec=auto` in virtual time: parity where it helps, and only there.

mod sim;

use sendoff_netem::{LinkConfig, Loss};
use sendoff_proto::{Config, fec::Fec};
use sim::{Pair, coder::Coder, ms, payload};
use std::time::Duration;

/// A client that sends 12 MB, and its server; what each wants of parity, looked at each 100 ms.
struct Course {
    pair: Pair,
    wanted: Vec<usize>,
}

impl Course {
    fn over(loss: Loss, seed: u64) -> Self {
        let link = LinkConfig::new().delay(ms(20)).loss(loss);
        // The window bounds the rate: 128 segments a round trip, without a queue anywhere.
        let config = Config::fast3().send_window(128).unwrap();
        let mut pair = Pair::new(config, link, seed);
        for side in &mut pair.sides {
            side.coder = Coder::auto(Fec::new(10, 5).unwrap());
        }
        let mut course = Self { pair, wanted: Vec::new() };
        course.send(12_000_000);
        course
    }

    fn send(&mut self, bytes: usize) {
        let data = payload(bytes, 3);
        let before = self.pair.server().received.len();
        self.pair.client().outgoing.extend_from_slice(&data);
        let end = self.pair.now + Duration::from_secs(600);
        while self.pair.server().received.len() < before + bytes {
            assert!(self.pair.now < end, "{}", self.pair.describe());
            self.pair.run_for(ms(100));
            self.wanted.push(self.pair.client().coder.encoder.as_ref().unwrap().parity());
        }
        assert!(self.pair.server().received[before..] == data);
    }

    /// Of the second half of the time.
    fn settled(&self) -> &[usize] {
        &self.wanted[self.wanted.len() / 2..]
    }

    fn share_with_parity(&self) -> f64 {
        let settled = self.settled();
        settled.iter().filter(|&&parity| parity > 0).count() as f64 / settled.len() as f64
    }

    fn recovered(&mut self) -> u64 {
        self.pair.server().coder.stats().recovered
    }
}

#[test]
fn a_clean_link_gets_no_parity_beyond_the_groups_that_show_the_ratio() {
    let mut course = Course::over(Loss::Bernoulli(0.0), 1);
    assert!(course.wanted.iter().all(|&parity| parity == 0), "{:?}", course.wanted);
    let sent = course.pair.client().coder.stats();
    assert!(sent.data_sent > 8_000 && sent.parity_sent <= 3 * 5, "{sent:?}");
    assert_eq!(course.pair.server().coder.stats().ratios_found, 1);
}

#[test]
fn random_loss_gets_parity_that_makes_good_most_of_it() {
    for (loss, least) in [(0.02, 1), (0.1, 3)] {
        let mut course = Course::over(Loss::Bernoulli(loss), 2);
        let settled = course.settled();
        let mean = settled.iter().sum::<usize>() as f64 / settled.len() as f64;
        assert!(mean >= f64::from(least), "{loss}: {:?}", course.wanted);
        let (recovered, lost) = (course.recovered(), course.pair.server().coder.decoder.loss().lost);
        assert!(recovered * 3 > lost * 2, "{loss}: {recovered} made good of {lost}");
    }
}

#[test]
fn parity_goes_when_the_loss_does() {
    let mut course = Course::over(Loss::Bernoulli(0.05), 3);
    assert!(course.share_with_parity() > 0.9, "{:?}", course.wanted);
    let clean = LinkConfig::new().delay(ms(20));
    course.pair.sides.iter_mut().for_each(|side| side.link.set_config(clean.clone()));
    course.wanted.clear();
    course.send(60_000_000);
    assert_eq!(course.wanted.last(), Some(&0), "{:?}", course.wanted);
}

#[test]
fn long_bursts_get_no_parity_because_it_would_not_help() {
    let course = Course::over(Loss::bursts(0.05, 60.0), 4);
    let share = course.share_with_parity();
    assert!(share < 0.25, "{share}: {:?}", course.wanted);
    // As many, one by one, do.
    assert!(Course::over(Loss::Bernoulli(0.05), 4).share_with_parity() > 0.9);
}
