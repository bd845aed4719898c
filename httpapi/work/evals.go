package work

import (
	"net/http"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/show"
	"github.com/steppe-run/steppe/structs"
)

// EvalsList lists evaluations.
func EvalsList(c *door.Call, v backend.View) (door.Reply, error) {
	if err := door.HexPrefix("eval", c.Prefix); err != nil {
		return door.Reply{}, err
	}
	job, status := c.Query.Get("job"), c.Query.Get("status")
	if c.Filter != "" && (job != "" || status != "") {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "filter can't be combined with job or status: say it all in the filter")
	}
	evals := door.Where(v.Evals(c.Namespace, c.Prefix), func(e *structs.Evaluation) bool {
		return (job == "" || e.JobID == job) && (status == "" || e.Status == status)
	})
	return door.List(c, v, evals, evalListing)
}

var evalListing = door.Listing[*structs.Evaluation, *structs.Evaluation]{
	Order: door.ByCreation,
	Key:   func(e *structs.Evaluation) door.Key { return door.Key{Number: e.CreateIndex, Last: e.ID} },
	Show:  door.Same[*structs.Evaluation],
}

// EvalsCount counts the evaluations that match a filter.
func EvalsCount(c *door.Call, v backend.View) (door.Reply, error) {
	match, err := door.Matcher(c.Filter)
	if err != nil {
		return door.Reply{}, err
	}
	resp := structs.EvalCountResponse{}
	for e := range v.Evals(c.Namespace, c.Prefix) {
		ok, err := match(e)
		if err != nil {
			return door.Reply{}, err
		}
		if ok {
			resp.Count++
		}
	}
	index := c.IndexOf(v)
	resp.QueryMeta = c.QueryMeta(index)
	return door.Reply{Value: &resp, Index: index}, nil
}

// evalOf finds the evaluation that the path names.
func evalOf(c *door.Call, v backend.View) (*structs.Evaluation, error) {
	id := c.Param("eval_id")
	if err := door.RecordID("eval", id); err != nil {
		return nil, err
	}
	if e := v.Eval(id); e != nil {
		return e, nil
	}
	return nil, structs.ErrEvalNotFound
}

// EvalRead reads one evaluation, with its relatives if asked.
func EvalRead(c *door.Call, v backend.View) (door.Reply, error) {
	e, err := evalOf(c, v)
	if err != nil {
		return door.Reply{}, err
	}
	related, err := c.Flag("related")
	if err != nil {
		return door.Reply{}, err
	}
	if !related {
		return door.Reply{Value: e, Index: e.ModifyIndex}, nil
	}
	shown := *e
	shown.RelatedEvals = relatives(v, e)
	return door.Reply{Value: &shown, Index: e.ModifyIndex}, nil
}

// relatives follows the links between evaluations in both directions.
func relatives(v backend.View, of *structs.Evaluation) []*structs.EvaluationStub {
	seen := map[string]bool{of.ID: true}
	found := []*structs.EvaluationStub{}
	ahead := []*structs.Evaluation{of}
	for len(ahead) > 0 {
		e := ahead[0]
		ahead = ahead[1:]
		for _, id := range []string{e.PreviousEval, e.NextEval, e.BlockedEval} {
			if id == "" || seen[id] {
				continue
			}
			seen[id] = true
			if next := v.Eval(id); next != nil {
				found = append(found, show.EvalStub(next))
				ahead = append(ahead, next)
			}
		}
	}
	return found
}

// EvalAllocations lists the allocations that an evaluation made or changed.
func EvalAllocations(c *door.Call, v backend.View) (door.Reply, error) {
	id := c.Param("eval_id")
	if err := door.RecordID("eval", id); err != nil {
		return door.Reply{}, err
	}
	return door.Reply{Value: door.All(v.AllocsByEval(id), show.FullStub), Index: c.IndexOf(v)}, nil
}
