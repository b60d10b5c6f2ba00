//! Waits hold where links are long and some voters are gone.

use std::time::Duration;

use sim::{Gone, Survivors, Turns, Violation};

fn measure(nodes: usize, gone: usize, since: Gone) -> Result<Turns, Violation> {
    let mut sum = Turns::default();
    for seed in 0..3 {
        let survivors = Survivors {
            seed,
            nodes,
            gone,
            since,
            length: Duration::from_secs(10),
        };
        sum.add(&survivors.measure()?);
    }
    Ok(sum)
}

/// Four of seven are a quorum only together, so each waits for the farthest of the others. Whoever has not been heard
/// since the start was once taken to be twenty milliseconds away: then one height in nine was taken over, at the second
/// ballot and up to the twelfth.
#[test]
fn those_who_are_gone_make_no_duel() -> Result<(), Violation> {
    for since in [Gone::Before, Gone::Later] {
        let turns = measure(7, 3, since)?;
        assert!(turns.heights > 100, "{since:?}: {turns:?}");
        assert!(
            turns.taken_over * 25 <= turns.heights,
            "{since:?}: {turns:?}"
        );
    }
    Ok(())
}
