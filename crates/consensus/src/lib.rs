//! Leaderless agreement on one block per height: the pure engine.
