//! What an operator counts. Nothing here is read by the engine: no decision rests on a count.

/// How often things happened in this incarnation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Blocks proposed with the turn, at ballot 1.
    pub turns_used: u64,
    /// Own ballots above 1: hedges that ran out, and finishing what others left.
    pub takeovers_started: u64,
    /// Heights decided at an own ballot above 1.
    pub takeovers_won: u64,
    /// Heights decided at anybody's ballot above 1.
    pub takeovers_decided: u64,
    /// Promises of others for own ballots.
    pub promises_received: u64,
    /// Refusals of own ballots by others.
    pub nacks_received: u64,
    /// Ballots of others refused here for a higher promise.
    pub nacks_sent: u64,
    /// Messages refused because they must not be believed.
    pub refused: u64,
    /// Commands that others pushed and for which there was no room. They stay with those who pushed them.
    pub pushes_dropped: u64,
}
