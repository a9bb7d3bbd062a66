"""The report in English."""

from __future__ import annotations

from snn4.view.texts.catalogue import (
    Assumptions,
    Compared,
    Data,
    Gaps,
    Headings,
    Limits,
    Names,
    Next,
    Page,
    Picture,
    Pictures,
    Reproduce,
    Rows,
    Summary,
    Tags,
    Texts,
)

__all__ = ["ENGLISH"]

ENGLISH = Texts(
    lang="en",
    page=Page(
        title="{title}: SNN and ANN compared",
        kicker="Comparison report, recipe {recipe}",
        seed="seed {seed}",
        contents="Contents",
        footer="Written by snn4 from the files of the run folder. Nothing on this page is loaded from elsewhere.",
        seconds="{seconds} s",
        minutes="{minutes} min {seconds} s",
        hours="{hours} h {minutes} min",
        dash="–",
        comma=", ",
        between_sentences=" ",
    ),
    names=Names(
        snn="SNN",
        ann="ANN",
        ann_quantised="quantised ANN",
        ann_float="floating-point ANN",
        not_recorded="not recorded",
        not_run="not in this run",
        not_applicable="–",
        steps="{steps} time steps",
        no_steps="window of exact spike times",
    ),
    headings=Headings(
        summary="In short",
        compared="What was compared",
        data="On which data",
        numbers="The numbers side by side",
        pictures="Pictures, and how to read them",
        assumptions="What the energy numbers assume",
        limits="What this report does not show",
        next="What would settle the question",
        reproduce="How to reproduce it",
        glossary="Terms",
        gaps="Missing pieces",
    ),
    tags=Tags(
        ahead="SNN ahead",
        behind="SNN behind",
        tie="too close to call",
        equal="equal",
        lower="SNN lower",
        higher="SNN higher",
        undecided="cannot be decided",
        faster="SNN faster",
        slower="SNN slower",
        unknown="no comparison",
        against="{opponent}: {value}",
    ),
    summary=Summary(
        lead="{accuracy}, {energy}.",
        lead_ahead="On the test data the SNN is more accurate than the {opponent}",
        lead_draw="On the test data the SNN and the {opponent} cannot be told apart in accuracy",
        lead_behind="On the test data the SNN is less accurate than the {opponent}",
        lead_no_accuracy="The accuracy of the SNN and of the {opponent} was not compared",
        lead_lower="and the SNN needs less energy in all ranges modelled here",
        lead_higher="and the SNN needs more energy in all ranges modelled here",
        lead_undecided="and which of them needs less energy cannot be decided by the models used here",
        lead_no_energy="and energy was not compared",
        ahead="The SNN is ahead on accuracy: it gets {snn} of {test} test samples right, {points} percentage points "
        "more than the {opponent} ({other}).",
        behind="The SNN is behind on accuracy: it gets {snn} of {test} test samples right, {points} percentage "
        "points less than the {opponent} ({other}).",
        equal="The SNN and the {opponent} are equally accurate: both get {snn} of {test} test samples right.",
        clear="The difference is larger than chance among the test samples explains (95% interval: {low} to {high} "
        "points), for this one training run.",
        noise="With this many test samples the difference cannot be told from chance (95% interval: {low} to {high} "
        "points), so treat it as a draw.",
        float_ahead="Against the floating-point ANN ({other}) it is {points} points ahead.",
        float_behind="Against the floating-point ANN ({other}) it is {points} points behind.",
        float_equal="It equals the floating-point ANN ({other}).",
        no_accuracy="Accuracy cannot be compared: the test accuracy of the SNN or of its opponent was not recorded.",
        alone="No ANN was trained beside this SNN, so the report cannot say whether an SNN is worthwhile here.",
        lower="On energy, every range modelled here puts the SNN below the {opponent}.",
        higher="On energy, every range modelled here puts the SNN above the {opponent}.",
        overlap="Whether the SNN needs less energy than the {opponent} cannot be decided by these models, because "
        "their ranges overlap.",
        contradict="Whether the SNN needs less energy than the {opponent} cannot be decided by these models, because "
        "the order turns round when memory traffic is counted.",
        compute="Computation alone: {snn} against {other} per sample ({position}).",
        with_memory="With memory traffic: {snn} against {other} per sample ({position}).",
        lies_lower="the SNN lies below",
        lies_higher="the SNN lies above",
        lies_overlap="the ranges overlap",
        like_for_like="At the same number formats, {lower} of the {all} energy models put the SNN below the {network}.",
        formats="The SNN is charged for {mine}-bit arithmetic and the {opponent} for {theirs}-bit, so that a part of "
        "the difference comes from the number formats and not from spikes.",
        no_energy="Energy cannot be compared: no energy range was recorded for both networks.",
        slower="On the computer of this run, one sample takes the SNN {snn} for its {steps}, {ratio} "
        "times as long as the {opponent} ({other}). A general-purpose processor is not a neuromorphic chip, so this "
        "says little about latency on one.",
        faster="On the computer of this run, one sample takes the SNN {snn} for its {steps}; the "
        "{opponent} takes {ratio} times as long ({other}). A general-purpose processor is not a neuromorphic chip, "
        "so this says little about latency on one.",
        no_latency="Latency cannot be compared: it was not recorded for both networks.",
        trust="How far these numbers carry",
        trust_quantised="Energy is modelled: operations are counted and multiplied by published constants. Nothing "
        "was measured on a chip. The fair opponent is the quantised ANN, because whoever puts an ANN on a small "
        "device quantises it first; against a floating-point ANN almost any SNN looks frugal.",
        trust_float="Energy is modelled: operations are counted and multiplied by published constants. Nothing was "
        "measured on a chip. This run has no quantised ANN, which would be the fair opponent; the floating-point ANN "
        "that stands here in its place makes the SNN look more frugal than it is.",
        trust_none="Energy is modelled: operations are counted and multiplied by published constants. Nothing was "
        "measured on a chip. This run has no ANN at all; a quantised ANN of the same architecture would be the fair "
        "opponent.",
    ),
    compared=Compared(
        intro="Networks of one architecture, trained on the same samples. They differ only in the neuron, in the use "
        "of time and in rounding.",
        caption="The networks",
        network="Network",
        what="What it is",
        architecture="Architecture",
        snn="Spiking neurons, {steps}, weights in {weights} bits.",
        ann="The same layers with ReLU in place of the spiking neurons, a single pass, weights in {weights} bits.",
        ann_quantised="The ANN with weights rounded to {weights} bits and activations to {activations} bits, a "
        "single pass.",
        same_budget="The training budget was the same: {epochs} epochs for every network.",
        other_budget="The training budgets differ: {budgets}.",
        epochs_of="{name} {epochs} epochs",
        fair_bits="Over {steps} time steps a neuron can send 0 to {steps} spikes: {levels} levels, which take {bits} "
        "bits. The activations of the quantised ANN have {actual} bits, so neither side is given the finer scale.",
        unfair_bits="Over {steps} time steps a neuron can send 0 to {steps} spikes: {levels} levels, which take "
        "{bits} bits. The activations of the quantised ANN have {actual} bits, so the scales are not equally fine.",
        recipe="Training settings",
        option="Setting",
        value="Value",
    ),
    data=Data(
        caption="Data set {name}: how it was split",
        part="Part",
        samples="Samples",
        use="What it was used for",
        train="Training",
        train_use="Learning the weights.",
        validation="Validation",
        validation_use="Choosing: when to stop, and which epoch's weights to keep.",
        test="Test",
        test_use="Read once, at the very end. Every test accuracy in this report comes from that single reading.",
        policy="The parts share no sample. The validation part makes every choice and the test part makes none; this "
        "is what keeps the test accuracy honest.",
        classes="{number} classes: {names}",
        licence="Licence: {licence}",
    ),
    rows=Rows(
        caption="SNN, ANN and quantised ANN on equal terms",
        measure="Measure",
        test_accuracy="Test accuracy",
        val_accuracy="Validation accuracy",
        parameters="Parameters",
        bytes="Memory for the weights",
        bits="Weights / activations",
        bits_value="{weights} / {activations} bits",
        steps="Time steps T",
        dense_macs="MAC if nothing were zero",
        macs="MAC (multiply-accumulate)",
        acs="AC (accumulate only)",
        membrane_updates="Membrane updates",
        spikes="Spikes",
        mean_firing_rate="Mean firing rate (per neuron and step)",
        compute="Modelled energy, computation alone",
        with_memory="Modelled energy, with memory traffic",
        latency="Latency on this computer, median",
        latency_p95="Latency on this computer, 95th percentile",
        epochs="Epochs trained",
        train_time="Training time",
        per_sample="{measure}, per sample",
        layers="Layer by layer: {name}",
        layers_note="As the profiler wrote it; the column names are those of result.json.",
    ),
    pictures=Pictures(
        accuracy_by_step=Picture(
            title="How many time steps a decision needs",
            caption="Test accuracy of the SNN if its answer is read after 1, 2, … T time steps; the horizontal "
            "lines are the networks without time. Where the curve becomes flat, further steps cost energy and "
            "latency and bring no accuracy.",
            alt="Line chart. The SNN's test accuracy goes from {first} after one time step to {last} after {steps}.",
        ),
        energy=Picture(
            title="Modelled energy, as ranges",
            caption="Each bar reaches from the lowest to the highest energy model; plain bars count computation "
            "alone, hatched bars also memory traffic. The axis is logarithmic: one grid step is a factor of ten. "
            "Compare plain with plain and hatched with hatched; bars that share a stretch of the axis cannot be told "
            "apart by these models.",
            alt="Bar chart of energy ranges per sample. {ranges}.",
        ),
        learning=Picture(
            title="How training went",
            caption="Thick lines are validation, thin dotted lines training. A widening gap between the two means "
            "that the network learns its training samples by heart; a validation curve that still climbs at the end "
            "means that more epochs would help.",
            alt="Two line charts over the epochs, accuracy and loss, of {models}.",
        ),
        confusion=Picture(
            title="Which classes are mistaken for which",
            caption="Each row is a true class, each column an answer, and the numbers count test samples. All that "
            "lies off the diagonal is a mistake; the stronger the colour of a cell, the larger its share of the row.",
            alt="Confusion matrices of {models} on the test samples.",
        ),
        sample=Picture(
            title="One sample on its way through the SNN",
            caption="Left, what went in; right, the output of every class at each time step. The blue line is the "
            "class that the SNN chose.",
            alt="An input sample, and the SNN's outputs for it over {steps} time steps.",
        ),
        raster=Picture(
            title="Spikes of that sample",
            caption="Every mark is one spike: time runs to the right, each row is a neuron (at most 200 of a layer "
            "are shown). Empty space is silence, and silence is what saves energy on a chip that computes only when "
            "a spike arrives.",
            alt="Spike raster of {layers}. {shares}.",
        ),
        membrane=Picture(
            title="Inside single neurons",
            caption="The membrane sums up what arrives. When it reaches the threshold (dashed) the neuron sends a "
            "spike (triangle) and is reset; the trace shows the value just before the reset.",
            alt="Membrane traces of single neurons in {layers}, with threshold and spikes.",
        ),
        spike_times=Picture(
            title="One sample in exact spike times",
            caption="Top left, the input spikes. Top right, the neuron that fires most: its potential is reset at each "
            "spike, its current goes on, and so it can fire again. Below, potentials of hidden neurons (one that rises "
            "past the threshold has fired as often as it may), and those of the outputs, which do not fire: at the end "
            "of the window the highest one is the answer.",
            alt="Input spikes, potential and current of a neuron with {spikes} spikes, hidden and output potentials.",
        ),
        firing_rates=Picture(
            title="How busy each layer is",
            caption="Mean number of spikes per neuron and time step. Energy on an event-driven chip grows with it. "
            "“Silent” is the share of neurons that never fired, which is capacity without use; “saturated” is "
            "the share that fired at every step and so carries no information.",
            alt="Bar chart of firing rates. {rates}.",
        ),
        weights=Picture(
            title="How the weights are spread",
            caption="Histogram of the weights of each layer. A few values far outside make rounding to few bits, "
            "which most chips require, cost more accuracy.",
            alt="Histograms of the weights of {layers}.",
        ),
        language_note="",
        absent="Not drawn: the run folder holds no usable data for it.",
        early="From step {step} of {steps} on, the SNN stays within one point of its final accuracy.",
        worst_pair="The SNN's most frequent mistake is to take “{true}” for “{predicted}” ({count} of {total}).",
        no_mistake="The SNN makes no mistake on the test samples.",
        sample_right="The sample is of class “{label}”, and the SNN says so.",
        sample_wrong="The sample is of class “{label}”; the SNN takes it for “{prediction}”.",
        sample_unknown="The class of this sample was not recorded.",
        some_layers="{shown} of {all} layers are shown.",
        busiest="The busiest layer is {layer} with {rate} spikes per neuron and step.",
    ),
    assumptions=Assumptions(
        intro="No number here was measured on a chip. Each model below multiplies counted operations by published "
        "costs, and the ranges in this report reach from the lowest to the highest of them.",
        counting="An input that is a spike costs an addition (AC); any other input costs a multiplication and an "
        "addition (MAC). Counts are averages over samples.",
        bracket="Models of computation alone treat memory as free, which favours the SNN: it fetches weights again "
        "at every step. Models with memory traffic depend on how often a weight is fetched and how large the "
        "memories are; those that fetch a weight anew for every spike, but only once for a dense layer, favour the "
        "dense network. Read the two kinds as brackets around the truth.",
        excluded="Not included in any of them unless stated: sensor, transfer of the data, host processor, idle power.",
        caption="Energy models, per sample",
        model="Model",
        kind="Counts",
        compute="computation",
        memory="computation and memory",
        assumes="What each model takes for granted, word by word",
        language_note="",
        vocabulary="How to read the names of the models",
        words=(
            ("compute", "Arithmetic alone; memory access is free."),
            ("with memory", "Arithmetic, addresses and memory accesses."),
            ("fp32", "Arithmetic on 32-bit floating-point numbers."),
            ("fp16", "Arithmetic on 16-bit floating-point numbers."),
            ("int32", "Arithmetic on 32-bit integers."),
            ("int8", "Arithmetic on 8-bit integers."),
            ("zeros skipped", "A multiplication by zero is free."),
            ("every step", "The first layer is computed at every step; otherwise once, if its input is constant."),
            ("neuron updates", "The arithmetic inside the neurons is counted too."),
            ("published", "A dense layer reads a weight once, a sparse one for every event: favours dense networks."),
            ("no reuse", "Weights are read anew for every use, in dense and sparse layers alike."),
            ("full reuse", "Each weight is read at most once a sample, which favours the SNN."),
        ),
        notes="Notes of the profiler",
        none="The run recorded no energy model by name.",
    ),
    limits=Limits(
        seed="It is one training run with one seed ({seed}). Another seed gives other numbers, and how far they "
        "spread is not known from this run.",
        test="With {test} test samples, an accuracy of {accuracy} is known to about ±{half} points (95% interval).",
        small="The data set is small ({train} training samples). The order of the networks may be another one on a "
        "larger task.",
        one_data_set="It is one data set. The result does not carry over to another task or sensor by itself.",
        chip="No chip was measured. Real energy depends on the chip, its process, its memories and its software.",
        no_quantised="There is no quantised ANN, so the fair comparison is missing.",
        no_ann="There is no ANN at all, so nothing is compared.",
        latency="Latency was measured on the processor of this computer, which computes every neuron at every step. "
        "A chip that computes only where spikes arrive behaves differently.",
        bits="The SNN was judged with {bits}-bit weights. Most neuromorphic chips hold 8 bits or fewer; what "
        "rounding costs the SNN is not included.",
        silent="In layer {layer}, {share} of the neurons never fired. Part of the network is without use, and the "
        "SNN may not be at its best.",
        budget="The networks were not trained for the same number of epochs.",
    ),
    next=Next(
        seeds="Repeat the run with other seeds and compare means and spreads: {command}",
        more_test="Test on more samples: to confirm a difference as small as this one, about {needed} would be needed.",
        accuracy="Close the accuracy gap first, for instance with more epochs, more time steps or a longer search of "
        "settings; at equal energy the more accurate network wins.",
        measure_undecided="Measure both networks on the chip you have in mind. The models disagree, so further "
        "modelling will not decide.",
        measure_lower="Measure both networks on the chip you have in mind. The models agree that the SNN is ahead, "
        "which makes the measurement worthwhile.",
        activity="Reduce the activity before going to a chip. A neuron now sends {spikes} spikes per sample on "
        "average; fewer time steps and a penalty on firing reduce it.",
        fewer_steps="Try stopping after {step} of {steps} time steps: the accuracy would be {accuracy}, and the "
        "operations after the first steps fall roughly in proportion.",
        quantise="Round the weights of the SNN to the bits of the target chip and judge again.",
        add_ann="Train a quantised ANN of the same architecture, so that there is a fair opponent.",
    ),
    reproduce=Reproduce(
        command="This command runs the whole comparison again and writes this report:",
        no_command="The command was not recorded.",
        close="With the same seed and the versions below the numbers come out the same or very close; other "
        "processors and library versions round differently, and the measured times depend on the computer.",
        environment="Environment",
        item="Item",
        config="All settings of the run",
        expected="What the recipe expects",
    ),
    glossary=(
        ("ANN", "Artificial neural network of the usual kind: one pass, numbers as activations."),
        ("SNN", "Spiking neural network: neurons with a memory that exchange spikes over several time steps."),
        ("Quantised ANN", "An ANN whose weights and activations are rounded to few bits, as for use on small devices."),
        ("Time step, T", "An SNN presents its input T times and counts spikes; more steps are finer and cost more."),
        ("Spike", "The one event a spiking neuron sends: something or nothing, at a certain step."),
        ("Membrane, threshold", "The neuron's memory, and the level at which it sends a spike."),
        ("Firing rate", "Spikes per neuron and time step, between 0 and 1 for neurons that send at most one."),
        ("MAC", "Multiply-accumulate: one multiplication and one addition, the unit of work of an ANN."),
        ("AC", "Accumulate: one addition. A spike makes the multiplication unnecessary."),
        ("Membrane update", "One neuron bringing its membrane up to date at one step."),
        ("Latency", "Time from the input of one sample to the answer. The 95th percentile is the slow end."),
        ("Percentage point", "The difference of two percentages: from 95% to 97% are two points."),
        (
            "95% interval",
            "A range made so that, over 100 repetitions with other samples, about 95 contain the true value.",
        ),
        ("pJ, nJ, µJ, mJ", "Picojoule, nanojoule, microjoule, millijoule: each a thousand of the one before."),
    ),
    gaps=Gaps(
        none="Every file of the run folder could be read.",
        intro="The report was written without the following.",
        missing="{piece} is missing.",
        damaged="{piece} is damaged and was left out.",
        lines="{piece}: {number} line(s) could not be read and were left out.",
        field="result.json: the field {piece} does not hold what is expected there and was left out.",
        picture="The picture “{piece}” could not be drawn from what was recorded.",
    ),
)
