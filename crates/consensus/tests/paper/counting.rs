//! What is counted for operators says who fought over a height.

use crate::harness::Cluster;

#[test]
fn a_takeover_is_counted_where_it_was_started_and_wherever_it_decided() {
    let mut cluster = Cluster::start(3);
    cluster.run(500);
    cluster.submit("n1", "a").unwrap();
    cluster.run(500);
    cluster.crash("n1").unwrap();
    cluster.submit("n2", "b").unwrap();
    cluster.run(5000);
    cluster.restart("n1").unwrap();
    cluster.run(2000);
    let counters = |node: &str| cluster.engine(node).counters();
    assert_eq!(cluster.engine("n1").tip().0, 2);
    let winner = counters("n2");
    assert_eq!((winner.takeovers_won, winner.takeovers_decided), (1, 1));
    assert!(winner.takeovers_started >= 1 && winner.promises_received >= 1);
    assert_eq!(winner.turns_used, 0);
    for other in ["n1", "n3"] {
        let other = counters(other);
        assert_eq!((other.takeovers_won, other.takeovers_decided), (0, 1));
        assert_eq!(other.refused, 0);
    }
}
