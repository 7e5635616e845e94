//! Neighbours in a row, by the positions of its seats: their order along the row, and the gaps and
//! corners that part it.

use std::f64::consts::PI;

/// A gap of more than this many times the row's median distance parts it.
const GAP: f64 = 1.8;
/// A row that turns by more than this, as from one side of a table to the other, is parted there.
const TURN: f64 = 75.0 / 180.0 * PI;
/// Rows with fewer distances than this say too little about themselves.
const DISTANCES_MIN: usize = 3;
/// Another order than the file's is taken only where it is shorter by this factor.
const SHORTER: f64 = 0.999;

type Point = (f64, f64);

/// Returns runs of neighbours, each with the indices of its points in order along the row.
/// `usual` is the median distance of neighbours in the whole plan, 0 if unknown.
pub(super) fn runs(points: &[Point], usual: f64) -> Vec<Vec<u32>> {
    let order = order(points);
    let places: Vec<Point> = order.iter().map(|at| points[*at as usize]).collect();
    let is_cut = cuts(&places, usual);
    let mut runs = Vec::new();
    let mut run = Vec::new();
    for (at, seat) in order.into_iter().enumerate() {
        if at > 0 && is_cut[at - 1] {
            runs.push(std::mem::take(&mut run));
        }
        run.push(seat);
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}

/// Returns the order along the row: that of the file, or that along its longest axis where the file
/// goes to and fro.
fn order(points: &[Point]) -> Vec<u32> {
    let file: Vec<u32> = (0..points.len() as u32).collect();
    let (x, y) = axis(points);
    let along = |at: &u32| {
        let point = points[*at as usize];
        point.0 * x + point.1 * y
    };
    let mut sorted = file.clone();
    sorted.sort_by(|a, b| along(a).total_cmp(&along(b)));
    let length = |order: &[u32]| -> f64 {
        let pairs = order.windows(2);
        pairs
            .map(|pair| distance(points[pair[0] as usize], points[pair[1] as usize]))
            .sum()
    };
    if length(&sorted) < length(&file) * SHORTER {
        sorted
    } else {
        file
    }
}

/// Returns the direction in which points vary most.
fn axis(points: &[Point]) -> Point {
    let count = points.len().max(1) as f64;
    let mean = |part: fn(&Point) -> f64| points.iter().map(part).sum::<f64>() / count;
    let (middle_x, middle_y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        let (x, y) = (x - middle_x, y - middle_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
    (angle.cos(), angle.sin())
}

/// Returns for each point but the last whether the row is parted after it.
fn cuts(places: &[Point], usual: f64) -> Vec<bool> {
    let pairs = places.windows(2);
    let distances: Vec<f64> = pairs.map(|pair| distance(pair[0], pair[1])).collect();
    let mut reference = median(distances.clone());
    if distances.len() < DISTANCES_MIN && usual > 0.0 {
        reference = reference.min(usual);
    }
    // Without positions there is nothing to see.
    if reference <= 0.0 {
        return vec![false; distances.len()];
    }
    let mut is_cut: Vec<bool> = distances.iter().map(|gap| *gap > reference * GAP).collect();
    for at in 1..distances.len() {
        let is_turn = turn(places[at - 1], places[at], places[at + 1]) > TURN;
        if is_turn && !is_cut[at - 1] && !is_cut[at] {
            let longer = if distances[at] < distances[at - 1] {
                at - 1
            } else {
                at
            };
            is_cut[longer] = true;
        }
    }
    is_cut
}

/// Returns the angle by which a way from `a` over `b` to `c` turns, 0 to pi.
fn turn(a: Point, b: Point, c: Point) -> f64 {
    let (first, second) = ((b.0 - a.0, b.1 - a.1), (c.0 - b.0, c.1 - b.1));
    let cross = first.0 * second.1 - first.1 * second.0;
    let dot = first.0 * second.0 + first.1 * second.1;
    cross.atan2(dot).abs()
}

pub(super) fn distance(a: Point, b: Point) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Returns the median of distances, 0 if there are none.
pub(super) fn median(mut distances: Vec<f64>) -> f64 {
    if distances.is_empty() {
        return 0.0;
    }
    let middle = distances.len() / 2;
    *distances.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(xs: &[f64]) -> Vec<Point> {
        xs.iter().map(|x| (*x, 0.0)).collect()
    }

    #[test]
    fn an_aisle_parts_a_row() {
        let row = line(&[0.0, 1.0, 2.0, 4.5, 5.5, 6.5]);
        assert_eq!(runs(&row, 1.0), [vec![0, 1, 2], vec![3, 4, 5]]);
        let narrow = line(&[0.0, 1.0, 2.0, 3.7, 4.7, 5.7]);
        assert_eq!(runs(&narrow, 1.0).len(), 1, "1.7 seats are no aisle");
    }

    #[test]
    fn two_seats_far_from_each_other_are_no_neighbours() {
        assert_eq!(runs(&line(&[0.0, 5.0]), 1.0).len(), 2);
        assert_eq!(runs(&line(&[0.0, 1.5]), 1.0).len(), 1);
        assert_eq!(runs(&line(&[0.0, 5.0]), 5.0).len(), 1, "a hall of beds");
    }

    #[test]
    fn seats_that_the_file_lists_from_the_middle_out_are_neighbours_by_place() {
        let row = line(&[2.0, 1.0, 3.0, 0.0, 4.0]);
        assert_eq!(runs(&row, 1.0), [vec![3, 1, 0, 2, 4]]);
    }

    #[test]
    fn a_table_parts_its_two_sides_however_they_are_numbered() {
        let round = vec![
            (0.0, 0.0),
            (1.0, 0.0),
            (2.0, 0.0),
            (2.0, 1.6),
            (1.0, 1.6),
            (0.0, 1.6),
        ];
        assert_eq!(runs(&round, 1.0), [vec![0, 1, 2], vec![3, 4, 5]]);
        let across = vec![
            (0.0, 0.0),
            (1.0, 0.0),
            (2.0, 0.0),
            (0.0, 1.6),
            (1.0, 1.6),
            (2.0, 1.6),
        ];
        assert_eq!(runs(&across, 1.0), [vec![0, 1, 2], vec![3, 4, 5]]);
    }

    #[test]
    fn a_curved_row_stays_one() {
        let arc: Vec<Point> = (0..30)
            .map(|at| {
                let angle = f64::from(at) * 0.1;
                (10.0 * angle.cos(), 10.0 * angle.sin())
            })
            .collect();
        assert_eq!(runs(&arc, 1.0).len(), 1);
        assert_eq!(runs(&[(3.0, 3.0); 5], 1.0).len(), 1, "no positions at all");
        assert_eq!(runs(&[], 1.0).len(), 0);
    }
}
