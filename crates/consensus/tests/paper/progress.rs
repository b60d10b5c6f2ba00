//! Section 5: agreement comes in the end.

use model::Height;

use crate::harness::Cluster;

/// Section 5: "With q voters alive and able to talk, a ballot above all others that is left alone for two round trips
/// decides." Backing off gives it that time even if the one disk that every quorum needs is a thousand times slower
/// than the two that duel have measured: an own ballot that waited long in vain tells them.
#[test]
fn a_disk_slower_than_measured_does_not_hold_up_the_chain() {
    let mut cluster = Cluster::start(3);
    cluster.cut("n2", "n3").unwrap();
    cluster.run(3000);
    cluster.hold("n1").unwrap();
    cluster.submit("n2", "b").unwrap();
    cluster.submit("n3", "c").unwrap();
    for _ in 0..12 {
        cluster.run(3500);
        cluster.end_flush("n1").unwrap();
    }
    assert!(cluster.engine("n1").tip() >= Height(1));
}
