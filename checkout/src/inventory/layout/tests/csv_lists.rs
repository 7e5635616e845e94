//! Lists of seats.

use super::*;

fn priced(list: &str) -> String {
    let list = Value::from(list);
    format!(r#"{{"plan": {list}, "prices": {{"A": 1200, "B": 900}}}}"#)
}

/// Gives a list a price of its only category.
fn one_price(list: &str) -> String {
    let list = Value::from(list);
    format!(r#"{{"plan": {list}, "prices": {{"C": 100}}}}"#)
}

#[test]
fn a_list_of_seats_is_a_plan_whatever_its_delimiter() {
    let list = "Section,Row,Seat,Category,X,Y,Notes,Door,Accessible\n\
        \"Parkett, links\",1,1,A,0,0,,Tür 2,\n\
        \"Parkett, links\",1,2,A,1,0,Säule,,yes\n\
        Balkon,,7,B,0,\"3.5\",,,\n";
    for delimiter in [",", ";", "\t", "|"] {
        let list = list
            .replace("\"Parkett, links\"", "Parkett")
            .replace(',', delimiter);
        let list = if delimiter == ";" {
            list.replace("3.5", "3,5")
        } else {
            list
        };
        let layout = parse(priced(&list).as_bytes()).unwrap();
        assert_eq!(layout.seats.len(), 3);
        assert_eq!(label(&layout, "Parkett-1-2"), "Parkett, row 1, seat 2");
        assert_eq!(label(&layout, "Balkon-7"), "Balkon, seat 7");
        let place = layout.place(1);
        assert_eq!(place.notes.as_deref(), Some("Säule"));
        assert!(layout.seats[1].is_accessible);
        assert_eq!(layout.place(0).door.as_deref(), Some("Tür 2"));
    }
    let quoted = parse(priced(list).as_bytes()).unwrap();
    assert_eq!(
        label(&quoted, "Parkett, links-1-1"),
        "Parkett, links, row 1, seat 1"
    );
}

#[test]
fn seats_without_positions_stand_side_by_side() {
    let list = "section,row,seat,category\nS,1,1,A\nS,1,2,A\nS,2,1,B\n";
    let layout = parse(priced(list).as_bytes()).unwrap();
    assert_eq!(runs(&layout), [vec!["S-1-1", "S-1-2"], vec!["S-2-1"]]);
    assert_eq!(drawn(&layout)["stage"], true, "it is no picture");
}

#[test]
fn faults_of_a_list_are_told_by_line() {
    let list = "section,row,seat,category,x,y,accessible,price\nS,1,,A,0,0,,\nS,1,2,C,left,0,maybe,5\nS,1,2,A,1,0,,\nS,1,2,A,2,0,,\n";
    let reasons = reasons(&priced(list)).join("\n");
    for reason in [
        "line 2: the seat has no number",
        "line 3: x is no number",
        "line 3: accessible is 'yes' or 'no'",
        "S, row 1, seat 2: its id 'S-1-2' is also that of S, row 1, seat 2",
        "the category 'C' has no price",
        "the plan has no category 'B'",
    ] {
        assert!(reasons.contains(reason), "{reason}: {reasons}");
    }
    let bare = super::reasons("section,row,seat,category\nS,1,1,A\n");
    assert!(
        bare[0].contains("the category 'A' has no price"),
        "{bare:?}"
    );
}

#[test]
fn quotation_marks_that_are_missing_cost_no_seat_in_silence() {
    let unclosed = "section,row,seat,category,notes\nS,A,1,C,\"Aisle\nS,A,2,C,\nS,A,3,C,\n";
    assert_eq!(
        reasons(&one_price(unclosed)),
        ["line 2: a quotation mark is not closed"]
    );
    let more = "section,row,seat,category,notes\nS,A,1,C,Behind a pillar, no view\n";
    let told = &reasons(&one_price(more))[0];
    assert!(
        told.starts_with("line 2 has more cells than the first line"),
        "{told}"
    );
    let inches = "section,row,seat,category,notes\nS,A,1,C,a 5\" rail\nS,A,2,C,,\n";
    assert_eq!(
        read(one_price(inches).as_bytes())
            .unwrap()
            .layout
            .seats
            .len(),
        2
    );
    let twice = "section,row,seat,category,notes\nS,A,1,C,\"one\ntwo\"\nS,A,2,C,\n";
    let parsed = read(one_price(twice).as_bytes()).unwrap();
    assert_eq!(parsed.warnings, ["line 2: a cell goes on in the next line"]);
}

#[test]
fn seats_without_positions_are_listed_as_they_stand() {
    let list = |numbers: &[&str]| {
        let lines = numbers.iter().map(|number| format!("S,A,{number},C\n"));
        one_price(&format!(
            "section,row,seat,category\n{}",
            lines.collect::<String>()
        ))
    };
    let told = reasons(&list(&["1", "10", "11", "2", "3"]));
    assert_eq!(
        told,
        [
            "the seats of row 'A' are sorted as texts (1, 10, 2): sort them by number, or give x and y"
        ]
    );
    let warnings = |numbers: &[&str]| read(list(numbers).as_bytes()).unwrap().warnings;
    let told = &warnings(&["1", "3", "5", "2", "4"])[0];
    assert!(
        told.starts_with("the seats of row 'A' are not listed by their numbers"),
        "{told}"
    );
    for fine in [&["1", "2", "10"], &["10", "9", "1"], &["1a", "1", "2"]] {
        assert_eq!(warnings(fine), [""; 0]);
    }
}

#[test]
fn a_position_is_given_for_all_seats_or_for_none() {
    let some = "section,row,seat,category,x,y\nS,A,1,C,100,40\nS,A,2,C,,\nS,A,3,C,140,\n";
    assert_eq!(
        reasons(&one_price(some)),
        [
            "line 3: x and y are missing, which other lines have",
            "line 4: x and y are missing, which other lines have",
        ]
    );
    let half = "section,row,seat,category,x\nS,A,1,C,100\n";
    assert_eq!(
        reasons(&one_price(half)),
        ["the columns x and y belong together: one of them is missing"]
    );
    let none = "section,row,seat,category,x,y\nS,A,1,C,,\nS,A,2,C,,\n";
    let layout = read(one_price(none).as_bytes()).unwrap().layout;
    assert_eq!(runs(&layout), [["S-A-1", "S-A-2"]]);
    let piled = "section,row,seat,category,x,y\nS,A,1,C,1,1\nS,A,2,C,1,1\nS,A,3,C,1,1\n";
    let parsed = read(one_price(piled).as_bytes()).unwrap();
    assert_eq!(
        parsed.warnings,
        [
            "S, row A, seat 2, and 1 more seats: at the same position as another seat, so that the map \
          shows only one"
        ]
    );
}

#[test]
fn excel_may_name_the_delimiter_in_a_line_of_its_own() {
    let list = "sep=;\r\nsection;row;seat;category\r\nS;A;1;C\r\n";
    let layout = read(one_price(list).as_bytes()).unwrap().layout;
    assert_eq!(label(&layout, "S-A-1"), "S, row A, seat 1");
    // The list is stored as it was sent, and is read again.
    let again = restore(&layout.plan).unwrap();
    assert_eq!(label(&again, "S-A-1"), "S, row A, seat 1");
}
